// The kernels as a host compiler reads them.
#include "train.cu"

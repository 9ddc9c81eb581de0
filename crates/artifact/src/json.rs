//! JSON in its canonical text.

use crate::ArtifactError;
use serde::Serialize;

/// Pretty JSON with a final newline.
///
/// # Errors
/// [`ArtifactError::Table`] if a value is not representable.
pub fn canonical_json(value: &impl Serialize) -> Result<Vec<u8>, ArtifactError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| {
        ArtifactError::table("json", "value", error.to_string(), "a representable value")
    })?;
    text.push(b'\n');
    Ok(text)
}

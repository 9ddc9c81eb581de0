//! A stored result, its receipt and its key against each other.

use super::names::{Part, path};
use crate::Class;
use crate::digest::sha256;
use crate::finding::{Finding, Kind};
use crate::manifest::canonical_json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;

/// Version of the key's format.
const KEY_VERSION: &str = "icl-cell/2";
/// Version of keys and receipts without a class.
const EARLIER: &str = "icl-cell/1";

/// SHA-256 over the canonical specification of a cell, the class of its numbers, and the digest of the source
/// that can change them.
pub fn key(class: Class, source_digest: &str, specification: &Value) -> String {
    // serde_json's map is sorted by key: equal values have equal text
    let text = json!([KEY_VERSION, class, source_digest, specification]).to_string();
    sha256(text.as_bytes())
}

/// What a result is of, and its digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// What is promised of its bits.
    pub class: Class,
    /// SHA-256 of the CSV.
    pub sha256: String,
    /// Digest of the source that computed it.
    pub source_digest: String,
    /// Everything else that it depends on.
    pub specification: Value,
}

/// A receipt of [`EARLIER`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EarlierReceipt {
    sha256: String,
    source_digest: String,
    specification: Value,
}

/// By which version an intact entry was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// This one.
    Present,
    /// One whose keys no run asks for.
    Earlier,
}

/// What a receipt of either version says.
struct Content {
    version: Version,
    key: String,
    sha256: String,
    canonical: Vec<u8>,
}

fn read(recorded: &[u8]) -> Result<Content, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    match serde_json::from_slice::<Receipt>(recorded) {
        Ok(receipt) => Ok(Content {
            version: Version::Present,
            key: key(receipt.class, &receipt.source_digest, &receipt.specification),
            canonical: canonical_json(&receipt).map_err(|error| text(&error))?,
            sha256: receipt.sha256,
        }),
        Err(error) => {
            let Ok(receipt) = serde_json::from_slice::<EarlierReceipt>(recorded) else {
                return Err(text(&error));
            };
            let EarlierReceipt { source_digest, specification, .. } = &receipt;
            let key = json!([EARLIER, source_digest, specification]).to_string();
            Ok(Content {
                version: Version::Earlier,
                key: sha256(key.as_bytes()),
                canonical: canonical_json(&receipt).map_err(|error| text(&error))?,
                sha256: receipt.sha256,
            })
        }
    }
}

/// The result of `wanted` against its receipt, and the receipt against its key.
pub(super) fn check(
    dir: &Path,
    wanted: &str,
    bytes: &[u8],
    recorded: &[u8],
) -> Result<Version, Box<Finding>> {
    let name = |part: Part<'_>| path(dir, wanted, part).display().to_string();
    let receipt = name(Part::Receipt);
    let fault = |found: String, expected: &str| {
        Err(Box::new(Finding::new(Kind::Content, &receipt, found, expected)))
    };
    let content = match read(recorded) {
        Ok(content) => content,
        Err(error) => return fault(error, "a receipt as written by `icl run`"),
    };
    if content.canonical != recorded {
        return fault("other bytes".into(), "the canonical text of its content");
    }
    if content.key != wanted {
        return fault(format!("a receipt of key {}", content.key), &format!("of key {wanted}"));
    }
    let found = sha256(bytes);
    if found != content.sha256 {
        let result = name(Part::Result);
        let finding = Finding::digest(&result, &found, &content.sha256, Some("its receipt"));
        return Err(Box::new(finding));
    }
    Ok(content.version)
}

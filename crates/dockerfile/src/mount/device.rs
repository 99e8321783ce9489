//! `RUN --device`.

use super::MountError;
use super::fields::truth;
use crate::csv;
use crate::suggest;

/// A `--device`: one of the machine's that a RUN may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFlag {
    /// Its name: `vendor/class` or `vendor/class=device`.
    pub name: String,
    /// Whether it must be there.
    pub required: bool,
}

impl DeviceFlag {
    pub(crate) fn read(text: &str) -> Result<Self, MountError> {
        let mut device = Self::default();
        for field in csv::fields(text).ok_or(MountError::List)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_lowercase(), Some(value)),
                None => (field.to_lowercase(), None),
            };
            match (key.as_str(), value) {
                ("required", None) => device.required = true,
                ("required", Some(value)) => device.required = truth(&key, value)?,
                ("name", Some(_)) if !device.name.is_empty() => {
                    return Err(MountError::TwoNames { first: device.name });
                }
                ("name", Some(value)) => value.clone_into(&mut device.name),
                (_, _) if device.name.is_empty() => device.name.clone_from(&field),
                (_, None) => return Err(MountError::NoValue { key }),
                (_, Some(_)) => {
                    let suggestion = suggest::nearest(&key, ["name", "required"]);
                    let suggestion = suggestion.map(str::to_owned);
                    return Err(MountError::Unknown { key, suggestion });
                }
            }
        }
        Ok(device)
    }
}

//! What an image holds, in a fixed order.

use crate::databases::{Database, distribution};
use crate::holdings::Holdings;
use crate::package::{Distribution, Package};

/// Most packages of an inventory.
const MAX_PACKAGES: usize = 200_000;

/// The packages of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// What it is of.
    pub distribution: Option<Distribution>,
    /// The packages, sorted; each once.
    pub packages: Vec<Package>,
    /// What there is and was not read.
    pub notes: Vec<String>,
}

impl From<Holdings> for Inventory {
    /// Reads the databases. A file that is none has no packages.
    ///
    /// ```
    /// use corten_scan::{Holdings, Inventory};
    ///
    /// assert!(Inventory::from(Holdings::default()).packages.is_empty());
    /// ```
    fn from(holdings: Holdings) -> Self {
        let mut all = Self { notes: holdings.notes, ..Self::default() };
        for (path, held) in &holdings.files {
            let path = String::from_utf8_lossy(path);
            match held.database {
                // `etc` comes first, and it is what readers of the image find.
                Database::Release => {
                    all.distribution = all.distribution.or_else(|| distribution(&held.bytes));
                }
                Database::Rpm => {
                    all.notes.push(format!("{path}: databases of rpm are not read"));
                }
                database => all.packages.extend(database.packages(&path, &held.bytes)),
            }
            if all.packages.len() > MAX_PACKAGES {
                all.packages.truncate(MAX_PACKAGES);
                all.notes.push(format!("there are more than {MAX_PACKAGES} packages"));
                break;
            }
        }
        all.packages.sort();
        all.packages.dedup();
        all
    }
}

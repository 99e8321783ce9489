//! Certificates in files, as the field keeps them: `certs.d/HOST/` with `*.crt` for authorities
//! and pairs of `*.cert` and `*.key` for client certificates.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use corten_store::StoreError;

use crate::{ClientCertificate, Tls, cause};

/// Most bytes read of one file.
const MAX_PEM: u64 = 1024 * 1024;

/// Most files read in one directory.
const MAX_FILES: usize = 128;

/// The certificates for `host` (with its port, as it is written in references) in the first of
/// `directories` that has a folder of that name; none when no one has.
pub fn certificates(directories: &[PathBuf], host: &str) -> Result<Tls, StoreError> {
    // A host never holds a slash; whoever asks may not have checked it.
    if host.is_empty() || host.contains(['/', '\\', '\0']) || host.starts_with('.') {
        return Ok(Tls::default());
    }
    for directory in directories.iter().map(|directory| directory.join(host)) {
        match fs::read_dir(&directory) {
            Ok(entries) => return read(&directory, entries),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(failed(&directory, "listing", error)),
        }
    }
    Ok(Tls::default())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn read(directory: &Path, entries: fs::ReadDir) -> Result<Tls, StoreError> {
    let mut paths = Vec::new();
    for entry in entries.take(MAX_FILES) {
        paths.push(entry.map_err(|error| failed(directory, "listing", error))?.path());
    }
    paths.sort();
    let mut tls = Tls::default();
    for path in &paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => tls.authorities.push(pem(path)?),
            // The first pair by name; a connection shows one certificate.
            Some("cert") if tls.identity.is_none() => {
                let key = path.with_extension("key");
                if !paths.contains(&key) {
                    return Err(StoreError::Malformed {
                        object: path.display().to_string(),
                        place: directory.display().to_string(),
                        source: cause(format!("{} is missing", key.display())),
                    });
                }
                let identity = ClientCertificate { certificate: pem(path)?, key: pem(&key)? };
                tls.identity = Some(identity);
            }
            _ => {}
        }
    }
    Ok(tls)
}

fn pem(path: &Path) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_PEM + 1).read_to_end(&mut bytes));
    read.map_err(|error| failed(path, "reading", error))?;
    if bytes.len() as u64 > MAX_PEM {
        return Err(StoreError::TooLarge {
            object: path.display().to_string(),
            place: "this machine".to_owned(),
            what: "a certificate file",
            limit: MAX_PEM,
        });
    }
    Ok(bytes)
}

fn failed(path: &Path, action: &'static str, source: io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_directory_with_the_host_is_read() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (root.path().join("first"), root.path().join("second"));
        fs::create_dir_all(&first).unwrap();
        let host = second.join("registry.example.com:5000");
        fs::create_dir_all(&host).unwrap();
        for (name, text) in [("ca.crt", "A"), ("b.crt", "B"), ("me.cert", "C"), ("me.key", "K")] {
            fs::write(host.join(name), text).unwrap();
        }
        let directories = [root.path().join("absent"), first, second];
        let tls = certificates(&directories, "registry.example.com:5000").unwrap();
        assert_eq!(tls.authorities, [b"B".to_vec(), b"A".to_vec()]);
        let identity = tls.identity.unwrap();
        assert_eq!((identity.certificate, identity.key), (b"C".to_vec(), b"K".to_vec()));
        let none = certificates(&directories, "registry.example.com").unwrap();
        assert!(none.authorities.is_empty() && none.identity.is_none());
        assert!(certificates(&directories, "../second").unwrap().authorities.is_empty());
    }

    #[test]
    fn a_certificate_without_its_key_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("localhost")).unwrap();
        fs::write(root.path().join("localhost/me.cert"), "C").unwrap();
        let error = certificates(&[root.path().to_owned()], "localhost").unwrap_err();
        assert!(matches!(error, StoreError::Malformed { .. }), "{error}");
    }
}

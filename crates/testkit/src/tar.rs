//! A small writer of ustar archives (POSIX.1-1988), so that image makers need no other crate.

/// An archive in the making; entries stand in the order of the calls. All times are zero and all
/// owners root, so the same calls give the same bytes.
#[derive(Clone, Debug, Default)]
pub struct TarMaker(Vec<u8>);

const BLOCK: usize = 512;

impl TarMaker {
    /// An archive without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// A regular file.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Self {
        self.entry((path, b'0'), mode, "", content.as_ref())
    }

    /// A sparse file of `size` bytes, as GNU tar writes it in PAX records: nothing but `content`, at its end.
    #[must_use]
    pub fn sparse(mut self, path: &str, size: u64, content: &[u8]) -> Self {
        let (at, length) = (size - content.len() as u64, content.len());
        let pairs = [
            "GNU.sparse.major=0".to_owned(),
            "GNU.sparse.minor=1".to_owned(),
            format!("GNU.sparse.size={size}"),
            "GNU.sparse.numblocks=1".to_owned(),
            format!("GNU.sparse.map={at},{length}"),
        ];
        let record = |pair: &String| {
            // The length of a record counts its own digits.
            let mut lengths = (pair.len()..).map(|length| (length, format!("{length} {pair}\n")));
            lengths.find(|(n, record)| record.len() == *n).unwrap().1
        };
        let body: String = pairs.iter().map(record).collect();
        self = self.entry(("PaxHeaders/x", b'x'), 0o644, "", body.as_bytes());
        self.entry((path, b'0'), 0o644, "", content)
    }

    /// A directory; `path` may end with a slash.
    #[must_use]
    pub fn directory(self, path: &str, mode: u32) -> Self {
        let path = format!("{}/", path.trim_end_matches('/'));
        self.entry((&path, b'5'), mode, "", &[])
    }

    /// A symbolic link to `target`.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry((path, b'2'), 0o777, target, &[])
    }

    /// A hard link to an earlier entry.
    #[must_use]
    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry((path, b'1'), 0o644, target, &[])
    }

    /// A named pipe.
    #[must_use]
    pub fn fifo(self, path: &str) -> Self {
        self.entry((path, b'6'), 0o666, "", &[])
    }

    /// A device that everybody may use: `kind` is `'c'` or `'b'`.
    #[must_use]
    pub fn device(mut self, path: &str, kind: char, (major, minor): (u32, u32)) -> Self {
        let at = self.0.len();
        let flag = match kind {
            'c' => b'3',
            'b' => b'4',
            other => panic!("a device is of kind c or b, not {other}"),
        };
        self = self.entry((path, flag), 0o666, "", &[]);
        let header: &mut [u8; BLOCK] = (&mut self.0[at..at + BLOCK]).try_into().unwrap();
        put(header, 329, 8, &format!("{major:07o}"));
        put(header, 337, 8, &format!("{minor:07o}"));
        seal(header);
        self
    }

    /// The removal of `name` of a lower layer (image-spec `layer.md`, Whiteouts).
    #[must_use]
    pub fn whiteout(self, directory: &str, name: &str) -> Self {
        let path = match directory.trim_end_matches('/') {
            "" => format!(".wh.{name}"),
            directory => format!("{directory}/.wh.{name}"),
        };
        self.file(&path, 0o644, "")
    }

    /// The archive with its end.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 2 * BLOCK]);
        self.0
    }

    fn entry(mut self, (path, kind): (&str, u8), mode: u32, link: &str, content: &[u8]) -> Self {
        let mut header = [0_u8; BLOCK];
        let (prefix, name) = split(path);
        put(&mut header, 0, 100, name);
        put(&mut header, 100, 8, &format!("{mode:07o}"));
        put(&mut header, 108, 8, "0000000");
        put(&mut header, 116, 8, "0000000");
        put(&mut header, 124, 12, &format!("{:011o}", content.len()));
        put(&mut header, 136, 12, "00000000000");
        header[156] = kind;
        put(&mut header, 157, 100, link);
        put(&mut header, 257, 8, "ustar\x0000");
        put(&mut header, 345, 155, prefix);
        seal(&mut header);
        self.0.extend(header);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
        self
    }
}

/// Writes the sum of a header into it.
fn seal(header: &mut [u8; BLOCK]) {
    put(header, 148, 8, "        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    put(header, 148, 8, &format!("{sum:06o}\0 "));
}

fn put(header: &mut [u8; BLOCK], offset: usize, size: usize, text: &str) {
    assert!(text.len() <= size, "'{text}' does not fit into {size} bytes of a ustar header");
    header[offset..offset + text.len()].copy_from_slice(text.as_bytes());
}

/// A path longer than 100 bytes is split at a slash.
fn split(path: &str) -> (&str, &str) {
    if path.len() <= 100 {
        return ("", path);
    }
    let fits = |at: &usize| *at <= 155 && path.len() - at - 1 <= 100;
    let at = path.match_indices('/').map(|(at, _)| at).find(fits);
    let at = at.unwrap_or_else(|| panic!("'{path}' does not fit into a ustar header"));
    (&path[..at], &path[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_tar_of_this_machine_reads_what_is_written() {
        let scratch = crate::scratch();
        let long = format!("{}/file", ["d".repeat(60), "e".repeat(60)].join("/"));
        let archive = TarMaker::new()
            .directory("etc", 0o755)
            .file("etc/hosts", 0o600, "127.0.0.1 localhost\n")
            .hard_link("etc/again", "etc/hosts")
            .symlink("link", "etc/hosts")
            .whiteout("etc", "old")
            .file(&long, 0o755, vec![7; 1000])
            .fifo("pipe")
            .device("null", 'c', (1, 3))
            .sparse("holes", 1 << 20, b"end")
            .finish();
        assert_eq!(archive.len() % BLOCK, 0);
        let path = scratch.write("a.tar", &archive);
        let listed = Command::new("tar").arg("-tvf").arg(&path).output().unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let listed = String::from_utf8(listed.stdout).unwrap();
        let lines: Vec<(&str, &str)> = listed
            .lines()
            .map(|line| (&line[..10], line.split(" 00:00 ").nth(1).unwrap()))
            .collect();
        let wanted = [
            ("drwxr-xr-x", "etc/"),
            ("-rw-------", "etc/hosts"),
            ("hrw-r--r--", "etc/again link to etc/hosts"),
            ("lrwxrwxrwx", "link -> etc/hosts"),
            ("-rw-r--r--", "etc/.wh.old"),
            ("-rwxr-xr-x", long.as_str()),
            ("prw-rw-rw-", "pipe"),
            ("crw-rw-rw-", "null"),
            ("-rw-r--r--", "holes"),
        ];
        assert_eq!(lines, wanted);
        let target = scratch.join("out");
        std::fs::create_dir(&target).unwrap();
        let run = Command::new("tar").arg("-xf").arg(&path).arg("-C").arg(&target).status();
        assert!(run.unwrap().success());
        assert_eq!(std::fs::read(target.join(&long)).unwrap(), vec![7; 1000]);
        let holes = std::fs::read(target.join("holes")).unwrap();
        assert!(holes.len() == 1 << 20 && holes.ends_with(b"\0end"));
    }
}

//! Whether this machine carries out programs of another architecture: itself, or through an interpreter that its
//! kernel knows (Linux documentation, `admin-guide/binfmt-misc.rst`).

use std::path::Path;

use corten_spec::Platform;

use crate::error::{Result, refused};

/// Where the kernel says what it interprets.
const BINFMT: &str = "/proc/sys/fs/binfmt_misc";
/// Most bytes of an entry that are read: it is some lines.
const MAX_ENTRY: usize = 16 * 1024;
/// How long a head is that entries are held against.
const HEAD: usize = 128;

/// Refuses what cannot be carried out.
pub(crate) fn can_run(wanted: &Platform, native: &Platform) -> Result<()> {
    let (wanted, native) = (wanted.normalized(), native.normalized());
    let architecture = wanted.architecture.as_str();
    let is_native = architecture == native.architecture;
    // Kernels for the wider machine carry out programs of the narrower one.
    if is_native || (architecture, native.architecture.as_str()) == ("386", "amd64") {
        return Ok(());
    }
    let Some(head) = head(architecture) else {
        return refused(format!("RUN for {wanted}: its programs are not known on {native}"));
    };
    match interpreter(Path::new(BINFMT), &head) {
        Interpreter::Fixed => Ok(()),
        Interpreter::ByPath(name) => refused(format!(
            "RUN for {wanted}: the interpreter {name} is found by its path, which an image does not have: \
             register it with the flag F"
        )),
        Interpreter::None => refused(format!(
            "RUN for {wanted}: this machine is {native}, and its kernel knows no interpreter for such programs: \
             install one, such as qemu-user-static with its binfmt entries"
        )),
    }
}

/// What the kernel has for a head.
enum Interpreter {
    /// One that it holds open, whatever the root filesystem.
    Fixed,
    /// One that it looks for when it is needed.
    ByPath(String),
    None,
}

fn interpreter(place: &Path, head: &[u8; HEAD]) -> Interpreter {
    let mut found = Interpreter::None;
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name == "register" || name == "status" {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        match said(text.get(..MAX_ENTRY).unwrap_or(&text), head) {
            Some(true) => return Interpreter::Fixed,
            Some(false) => found = Interpreter::ByPath(name.to_string_lossy().into_owned()),
            None => {}
        }
    }
    found
}

/// Whether an entry that takes the head has the flag F.
fn said(entry: &str, head: &[u8; HEAD]) -> Option<bool> {
    let value = |key: &str| {
        entry.lines().find_map(|line| line.strip_prefix(key)).map(|rest| rest.trim().to_owned())
    };
    if entry.lines().next() != Some("enabled") {
        return None;
    }
    let magic = bytes(&value("magic ")?)?;
    let mask = match value("mask ") {
        Some(mask) => bytes(&mask)?,
        None => vec![0xff; magic.len()],
    };
    let offset: usize = value("offset ").and_then(|text| text.parse().ok()).unwrap_or(0);
    let part = head.get(offset..offset.checked_add(magic.len())?)?;
    let takes =
        part.iter().zip(&magic).zip(&mask).all(|((byte, magic), mask)| byte & mask == magic & mask);
    takes.then(|| value("flags:").is_some_and(|flags| flags.contains('F')))
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The head of a program (System V ABI, `ELF header`) of an architecture by the name that Go has for it.
fn head(architecture: &str) -> Option<[u8; HEAD]> {
    const LITTLE: u8 = 1;
    const BIG: u8 = 2;
    let (class, order, machine): (u8, u8, u16) = match architecture {
        "386" => (1, LITTLE, 3),
        "amd64" => (2, LITTLE, 62),
        "arm" => (1, LITTLE, 40),
        "arm64" => (2, LITTLE, 183),
        "loong64" => (2, LITTLE, 258),
        "mips" => (1, BIG, 8),
        "mipsle" => (1, LITTLE, 8),
        "mips64" => (2, BIG, 8),
        "mips64le" => (2, LITTLE, 8),
        "ppc64" => (2, BIG, 21),
        "ppc64le" => (2, LITTLE, 21),
        "riscv64" => (2, LITTLE, 243),
        "s390x" => (2, BIG, 22),
        _ => return None,
    };
    // A program, not a library.
    let kind: u16 = 2;
    let two =
        |number: u16| if order == LITTLE { number.to_le_bytes() } else { number.to_be_bytes() };
    let mut head = [0; HEAD];
    let fields = [0x7f, b'E', b'L', b'F', class, order, 1].into_iter().chain([0; 9]);
    let fields = fields.chain(two(kind)).chain(two(machine));
    head.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Debian's qemu-user-static registers it.
    const ARM64: &str = "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[test]
    fn an_entry_takes_the_programs_of_its_architecture_alone() {
        let arm64 = head("arm64").unwrap();
        assert_eq!(said(ARM64, &arm64), Some(true));
        assert_eq!(said(&ARM64.replace("OCF", "OC"), &arm64), Some(false));
        assert_eq!(said(&ARM64.replace("enabled", "disabled"), &arm64), None);
        for other in ["arm", "riscv64", "s390x", "ppc64le", "amd64"] {
            assert_eq!(said(ARM64, &head(other).unwrap()), None, "{other}");
        }
        assert_eq!(said("enabled\nextension .py\n", &arm64), None);
        assert_eq!(said("enabled\nmagic 7f4\n", &arm64), None);
    }

    #[test]
    fn what_nothing_interprets_is_refused_with_what_to_do() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        let native = platform("linux/amd64");
        can_run(&platform("linux/amd64"), &native).unwrap();
        can_run(&platform("linux/386"), &native).unwrap();
        let error = can_run(&platform("linux/m68k"), &native).unwrap_err();
        assert!(error.to_string().contains("RUN for linux/m68k"), "{error}");
        let nowhere = tempfile::tempdir().unwrap();
        let found = interpreter(nowhere.path(), &head("arm64").unwrap());
        assert!(matches!(found, Interpreter::None));
        std::fs::write(nowhere.path().join("qemu"), ARM64).unwrap();
        let found = interpreter(nowhere.path(), &head("arm64").unwrap());
        assert!(matches!(found, Interpreter::Fixed));
    }
}

//! The few words of D-Bus that are needed (D-Bus specification, "Message Protocol" and "Authentication"), to the
//! manager of systemd alone. The encoding of values is a library's.

use serde::Serialize;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{DynamicType, LE, ObjectPath, OwnedObjectPath, Variant, to_bytes};

/// The most bytes of one message: answers here are a path and a few words.
const MESSAGE: usize = 1 << 20;
/// The most bytes of a line of the authentication.
const LINE: usize = 4096;
/// How long an answer, or the end of a job, is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// The part of a message before its fields and their length.
const FIXED: usize = 16;

const CALL: u8 = 1;
const ANSWER: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const SIGNATURE: u8 = 8;

/// What went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    /// The bus could not be reached, or fell silent.
    Io(io::Error),
    /// It answered with an error.
    Told { name: String, text: String },
    /// It answered with what is none.
    Wrong(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Io(error)
    }
}

fn wrong(what: impl fmt::Display) -> Fault {
    Fault::Wrong(format!("the bus: {what}"))
}

/// To whom a call goes.
struct Object {
    destination: &'static str,
    path: &'static str,
    interface: &'static str,
}

const MANAGER: Object = Object {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};
const BUS: Object = Object {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};
const JOBS: &str = "type='signal',sender='org.freedesktop.systemd1',\
                    path='/org/freedesktop/systemd1',\
                    interface='org.freedesktop.systemd1.Manager',member='JobRemoved'";

/// A connection.
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Who systemd is on this bus: signals of others are none of its.
    manager: Option<String>,
    /// When its patience ends.
    until: Instant,
}

/// One message.
#[derive(Debug, Default)]
struct Message {
    kind: u8,
    reply: Option<u32>,
    member: String,
    error: String,
    sender: String,
    little: bool,
    body: Vec<u8>,
}

impl Bus {
    /// Whether somebody listens at one of the addresses of a list.
    pub(super) fn is_there(addresses: &str) -> bool {
        addresses.split(';').filter_map(socket).any(|path| UnixStream::connect(path).is_ok())
    }

    /// Connects to the first address of a list that answers.
    pub(super) fn connect(addresses: &str) -> Result<Bus, Fault> {
        let mut last =
            io::Error::new(io::ErrorKind::NotFound, "no address of a socket with a path");
        for path in addresses.split(';').filter_map(socket) {
            match UnixStream::connect(&path) {
                Ok(stream) => return Bus::greet(stream),
                Err(error) => last = error,
            }
        }
        Err(Fault::Io(last))
    }

    fn greet(stream: UnixStream) -> Result<Bus, Fault> {
        let mut bus = Bus { stream, serial: 0, manager: None, until: Instant::now() + PATIENCE };
        bus.stream.set_write_timeout(Some(PATIENCE))?;
        // Without a name of a user: the bus knows by the socket who this is, whatever the ids are called here. All at
        // once, as each answer that is waited for is a turn of three processes.
        bus.stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        let hello = bus.send(&BUS, "Hello", &())?;
        for word in ["DATA", "OK "] {
            let line = bus.line()?;
            if !line.starts_with(word) {
                return Err(wrong(format!("it does not know this user: {line:?}")));
            }
        }
        bus.answer(hello)?;
        Ok(bus)
    }

    fn line(&mut self) -> Result<String, Fault> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() > LINE {
                return Err(wrong("a line without end"));
            }
            let mut byte = [0];
            self.read(&mut byte)?;
            line.extend(byte);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Reads all of `bytes` while there is patience.
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Fault::Io(io::ErrorKind::TimedOut.into()));
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(rest) {
                Ok(0) => return Err(Fault::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(got) => done += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Wants to hear of the end of jobs.
    pub(super) fn watch_jobs(&mut self) -> Result<(), Fault> {
        let matched = self.send(&BUS, "AddMatch", &JOBS)?;
        let owner = self.send(&BUS, "GetNameOwner", &MANAGER.destination)?;
        self.answer(matched)?;
        let (owner, _) = self.answer(owner)?;
        self.manager = Some(owner.only::<String>()?);
        Ok(())
    }

    /// Calls systemd.
    pub(super) fn call(
        &mut self,
        member: &str,
        body: &(impl Serialize + DynamicType),
    ) -> Result<(), Fault> {
        let serial = self.send(&MANAGER, member, body)?;
        self.answer(serial).map(drop)
    }

    /// Calls what begins a job, and waits for its end.
    pub(super) fn job(
        &mut self,
        member: &str,
        body: &(impl Serialize + DynamicType),
    ) -> Result<(), Fault> {
        // The end may come before the answer: all are heard, and looked through then.
        let serial = self.send(&MANAGER, member, body)?;
        let (answer, mut ends) = self.answer(serial)?;
        let job = answer.only::<OwnedObjectPath>()?.to_string();
        loop {
            for end in ends.drain(..) {
                let (_, path, unit, result) =
                    end.body::<(u32, OwnedObjectPath, String, String)>()?;
                if path.as_str() == job {
                    let text = format!("the start of {unit} ended as {result:?}");
                    return if result == "done" { Ok(()) } else { Err(Fault::Wrong(text)) };
                }
            }
            let heard = self.hear()?;
            ends.extend(Some(heard).filter(|heard| self.is_end(heard)));
        }
    }

    fn is_end(&self, heard: &Message) -> bool {
        heard.kind == SIGNAL
            && heard.member == "JobRemoved"
            && self.manager.as_deref() == Some(&heard.sender)
    }

    /// Sends a call, and tells its number.
    fn send(
        &mut self,
        object: &Object,
        member: &str,
        body: &(impl Serialize + DynamicType),
    ) -> Result<u32, Fault> {
        self.until = Instant::now() + PATIENCE;
        self.serial += 1;
        self.stream.write_all(&encode(self.serial, object, member, body)?)?;
        Ok(self.serial)
    }

    /// The answer to a call, and the ends of jobs that were told before it.
    fn answer(&mut self, serial: u32) -> Result<(Message, Vec<Message>), Fault> {
        let mut ends = Vec::new();
        loop {
            let heard = self.hear()?;
            match heard.kind {
                ANSWER if heard.reply == Some(serial) => return Ok((heard, ends)),
                ERROR if heard.reply == Some(serial) => {
                    let text = heard.only::<String>().unwrap_or_default();
                    return Err(Fault::Told { name: heard.error, text });
                }
                _ => ends.extend(Some(heard).filter(|heard| self.is_end(heard))),
            }
        }
    }

    fn hear(&mut self) -> Result<Message, Fault> {
        let mut head = vec![0; FIXED];
        self.read(&mut head)?;
        let (little, lengths) = lengths(&head)?;
        let mut rest = vec![0; lengths.0 + lengths.1];
        self.read(&mut rest)?;
        let body = rest.split_off(lengths.0);
        head.extend(rest);
        decode(&head, little, body)
    }
}

/// The path of an address such as `unix:path=/run/dbus/system_bus_socket,guid=…`.
fn socket(address: &str) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let keys = address.strip_prefix("unix:")?;
    let path = keys.split(',').find_map(|key| key.strip_prefix("path="))?;
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            plain => plain,
        });
    }
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

type Head<'a> = (u8, u8, u8, u8, u32, u32, Vec<(u8, Variant<'a>)>);

fn encode(
    serial: u32,
    object: &Object,
    member: &str,
    body: &(impl Serialize + DynamicType),
) -> Result<Vec<u8>, Fault> {
    let context = Context::new(LE, 0);
    let signature = body.signature();
    let body = to_bytes(context, body).map_err(wrong)?;
    let path = ObjectPath::try_from(object.path).map_err(wrong)?;
    let fields = vec![
        (PATH, Variant::from(path)),
        (INTERFACE, Variant::from(object.interface)),
        (MEMBER, Variant::from(member)),
        (DESTINATION, Variant::from(object.destination)),
    ];
    let length = u32::try_from(body.bytes().len()).map_err(wrong)?;
    let head: Head<'_> = (b'l', CALL, 0, 1, length, serial, fields);
    let mut bytes = to_bytes(context, &head).map_err(wrong)?.bytes().to_vec();
    if !body.bytes().is_empty() {
        sign(&mut bytes, &signature.to_string_no_parens())?;
    }
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend_from_slice(body.bytes());
    Ok(bytes)
}

/// Adds the field that tells the types of the parameters. They are the members of a structure that is not written as
/// one, which the library has no value for.
fn sign(head: &mut Vec<u8>, types: &str) -> Result<(), Fault> {
    head.resize(head.len().next_multiple_of(8), 0);
    let length = u8::try_from(types.len()).map_err(wrong)?;
    head.extend([SIGNATURE, 1, b'g', 0, length]);
    head.extend(types.bytes().chain([0]));
    let fields = u32::try_from(head.len().saturating_sub(FIXED)).map_err(wrong)?;
    let place = head.get_mut(FIXED - 4..FIXED).ok_or_else(|| wrong("no head"))?;
    place.copy_from_slice(&fields.to_le_bytes());
    Ok(())
}

/// Whether a message is written with the low byte first, and how many bytes follow: fields, filled up, and body.
fn lengths(head: &[u8]) -> Result<(bool, (usize, usize)), Fault> {
    let little = match head.first() {
        Some(b'l') => true,
        Some(b'B') => false,
        _ => return Err(wrong("no message")),
    };
    let number = |at: usize| -> Option<usize> {
        let bytes: [u8; 4] = head.get(at..at + 4)?.try_into().ok()?;
        let number = if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
        usize::try_from(number).ok().filter(|number| *number <= MESSAGE)
    };
    match (number(12), number(4)) {
        (Some(fields), Some(body)) => Ok((little, (fields.next_multiple_of(8), body))),
        _ => Err(wrong(format!("a message of more than {MESSAGE} bytes"))),
    }
}

fn context(little: bool) -> Context {
    if little { Context::new(LE, 0) } else { Context::new(zbus::wire::BE, 0) }
}

fn decode(head: &[u8], little: bool, body: Vec<u8>) -> Result<Message, Fault> {
    let data = Data::new(head, context(little));
    let ((_, kind, _, _, _, _, fields), _) = data.deserialize::<Head<'_>>().map_err(wrong)?;
    let mut message = Message { kind, little, body, ..Message::default() };
    for (field, value) in fields {
        match (field, value) {
            (REPLY, Variant::U32(serial)) => message.reply = Some(serial),
            (MEMBER, Variant::Str(text)) => message.member = text.to_string(),
            (ERROR_NAME, Variant::Str(text)) => message.error = text.to_string(),
            (SENDER, Variant::Str(text)) => message.sender = text.to_string(),
            _ => {}
        }
    }
    Ok(message)
}

impl Message {
    /// Reads the parameters.
    fn body<T: for<'a> serde::Deserialize<'a> + zbus::wire::Type>(&self) -> Result<T, Fault> {
        let data = Data::new(self.body.as_slice(), context(self.little));
        data.deserialize::<T>().map(|(value, _)| value).map_err(wrong)
    }

    /// Reads the only parameter.
    fn only<T: for<'a> serde::Deserialize<'a> + zbus::wire::Type>(&self) -> Result<T, Fault> {
        self.body::<(T,)>().map(|(value,)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_sockets_with_a_path_are_found() {
        let path = |address: &str| socket(address).map(|path| path.display().to_string());
        assert_eq!(path("unix:path=/run/bus,guid=1").as_deref(), Some("/run/bus"));
        assert_eq!(path("unix:guid=1,path=/run/a%20b").as_deref(), Some("/run/a b"));
        assert_eq!(path("unix:abstract=/x"), None);
        assert_eq!(path("tcp:host=localhost,port=4"), None);
        assert_eq!(path("unix:path=/x%2"), None);
    }

    #[test]
    fn what_is_written_is_read_again_and_a_length_that_lies_is_refused() {
        let asked = ("unit.scope", "fail", vec![("PIDs", Variant::from(vec![7_u32]))]);
        let bytes = encode(5, &MANAGER, "StartTransientUnit", &asked).unwrap();
        let (little, (fields, body)) = lengths(&bytes).unwrap();
        assert!(little && bytes.len() == FIXED + fields + body);
        let (head, rest) = bytes.split_at(FIXED + fields);
        let read = decode(head, little, rest.to_vec()).unwrap();
        assert_eq!((read.kind, read.member.as_str()), (CALL, "StartTransientUnit"));
        let types = b"\x08\x01g\0\x07ssa(sv)\0";
        assert!(head.windows(types.len()).any(|part| part == types));
        let (unit, mode, all) =
            read.body::<(String, String, Vec<(String, zbus::wire::OwnedVariant)>)>().unwrap();
        assert_eq!((unit.as_str(), mode.as_str(), all.len()), ("unit.scope", "fail", 1));
        let mut lie = bytes.clone();
        lie[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(lengths(&lie).is_err());
        assert!(lengths(b"x").is_err() && lengths(b"l").is_err());
        for end in 0..head.len() {
            // No panic, whatever was cut.
            let _ = decode(&head[..end], little, Vec::new());
        }
    }

    #[test]
    fn a_bus_that_says_nothing_of_use_is_an_error() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"REJECTED EXTERNAL\r\n").unwrap();
        assert!(matches!(Bus::greet(ours), Err(Fault::Wrong(_))));
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(matches!(Bus::greet(ours), Err(Fault::Io(_))));
        assert!(matches!(Bus::connect("unix:path=/none;tcp:x"), Err(Fault::Io(_))));
    }
}

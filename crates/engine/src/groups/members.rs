//! The processes of a group: who they are, their end, and their rest.

use super::directory::Directory;
use super::table::Version;
use super::{Group, Member, PROCESSES};
use crate::error::{Doing, Error, Result};
use crate::sys;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The most groups below one that are gone through.
const GROUPS: usize = 1 << 16;
/// How many processes are held at a time.
const HELD: usize = 256;
/// How long the end of all, or their rest, is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest pause between two looks.
const LONGEST: Duration = Duration::from_millis(20);

/// Whether processes may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Motion {
    Frozen,
    Running,
}

/// Looks again and again, at growing distances, until `done` or until the time is over.
fn patiently(mut done: impl FnMut() -> Result<bool>) -> Result<bool> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(100);
    loop {
        if done()? {
            return Ok(true);
        }
        if start.elapsed() > PATIENCE {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST);
    }
}

impl Group {
    /// The member to ask for processes: in version 2 no process is in two groups at once.
    fn roll(&self) -> Option<&Member> {
        let new = self.members.iter().find(|member| member.version == Version::Two);
        new.or_else(|| self.member("freezer")).or_else(|| self.members.first())
    }

    /// The member that stops processes.
    fn brake(&self) -> Option<&Member> {
        let new = self
            .members
            .iter()
            .find(|member| member.version == Version::Two && member.directory.has("cgroup.freeze"));
        new.or_else(|| self.member("freezer").filter(|member| member.version == Version::One))
    }

    /// The processes of the group and of all groups below it, by the numbers of this process's namespace.
    pub(crate) fn processes(&self) -> Result<BTreeSet<i32>> {
        let Some(member) = self.roll() else { return Ok(BTreeSet::new()) };
        all_below(&member.directory).map_err(|error| member.fault(PROCESSES, error))
    }

    /// Whether there is no process.
    fn is_empty(&self) -> Result<bool> {
        match self.roll() {
            // Told for the whole tree at once.
            Some(member) if member.version == Version::Two => {
                match member.directory.read("cgroup.events") {
                    Err(error) if is_gone(&error) => Ok(true),
                    Err(error) => Err(member.fault("cgroup.events", error)),
                    Ok(events) => Ok(!events.lines().any(|line| line == "populated 1")),
                }
            }
            _ => Ok(self.processes()?.is_empty()),
        }
    }

    /// Stops all processes, or lets them go on, and waits until it is so.
    pub(crate) fn set_motion(&self, motion: Motion) -> Result<()> {
        let member = self.brake().ok_or_else(|| Error::Unsupported {
            what: "the pause of a container without a control group that can stop it".to_owned(),
        })?;
        let (file, word) = match (member.version, motion) {
            (Version::Two, Motion::Frozen) => ("cgroup.freeze", "1"),
            (Version::Two, Motion::Running) => ("cgroup.freeze", "0"),
            (Version::One, Motion::Frozen) => ("freezer.state", "FROZEN"),
            (Version::One, Motion::Running) => ("freezer.state", "THAWED"),
        };
        let fault = |error| member.fault(file, error);
        let set = patiently(|| {
            // In version 1 processes that are made meanwhile may slip through, so it is told again.
            member.directory.write(file, word).map_err(fault)?;
            Ok(motion_of(member).map_err(fault)? == motion)
        })?;
        if set {
            return Ok(());
        }
        if motion == Motion::Frozen {
            // Half of a pause helps nobody. The error below is the one to tell.
            let _ = self.set_motion(Motion::Running);
        }
        Err(fault(io::Error::from(io::ErrorKind::TimedOut)))
    }

    /// Whether the processes are stopped.
    pub(crate) fn motion(&self) -> Motion {
        self.brake().and_then(|member| motion_of(member).ok()).unwrap_or(Motion::Running)
    }

    /// Sends a signal to every process of the group.
    pub(crate) fn signal(&self, signal: i32) -> Result<()> {
        let all: Vec<i32> = self.processes()?.into_iter().collect();
        for some in all.chunks(HELD) {
            self.signal_some(some, signal)?;
        }
        Ok(())
    }

    fn signal_some(&self, some: &[i32], signal: i32) -> Result<()> {
        let mut held = Vec::new();
        for pid in some {
            let Some(number) = Pid::from_raw(*pid) else { continue };
            match pidfd_open(number, PidfdFlags::empty()) {
                Err(Errno::SRCH) => {}
                other => held.push((pid, other.doing(|| format!("hold process {pid}"))?)),
            }
        }
        // Asked again after the hold: a number may have gone to a process of somebody else's in between.
        let still = self.processes()?;
        for (pid, process) in held.iter().filter(|(pid, _)| still.contains(pid)) {
            match sys::signal(process, signal) {
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                other => other.doing(|| format!("send signal {signal} to process {pid}"))?,
            }
        }
        Ok(())
    }

    /// Kills every process of the group, and waits until there is none.
    pub(crate) fn kill(&self) -> Result<()> {
        let at_once = self
            .members
            .iter()
            .find(|member| member.version == Version::Two && member.directory.has("cgroup.kill"));
        let gone = match at_once {
            Some(member) => {
                match member.directory.write("cgroup.kill", "1") {
                    Err(error) if is_gone(&error) => {}
                    killed => killed.map_err(|error| member.fault("cgroup.kill", error))?,
                }
                // In version 1 a process may rest in its freezer until it is let out.
                self.thaw();
                patiently(|| self.is_empty())?
            }
            None => patiently(|| {
                // What is stopped makes no new processes while all are told.
                let stopped = self.brake().is_some() && self.set_motion(Motion::Frozen).is_ok();
                let told = self.signal(libc::SIGKILL);
                if stopped {
                    self.set_motion(Motion::Running)?;
                }
                told?;
                self.is_empty()
            })?,
        };
        match (gone, self.roll()) {
            (false, Some(member)) => {
                Err(member.fault(PROCESSES, io::Error::from(io::ErrorKind::TimedOut)))
            }
            _ => Ok(()),
        }
    }

    /// Puts one more process into the groups of a container whose first process is `first`.
    pub(crate) fn join(&self, pid: i32, first: i32) -> Result<()> {
        for member in &self.members {
            let fault = |error| member.fault(PROCESSES, error);
            let number = pid.to_string();
            match member.directory.write(PROCESSES, &number) {
                // The container has groups of its own below, with controllers, so that none may be up here.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::BUSY) => {
                    let inner =
                        member.group_of(first).map_err(fault)?.ok_or(error).map_err(fault)?;
                    inner.write(PROCESSES, &number).map_err(fault)?;
                }
                // Between the groups of a user's session and of the user's services only systemd moves a process.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    member.unit.as_ref().map_or(Err(fault(error)), |unit| unit.attach(pid))?;
                }
                other => other.map_err(fault)?,
            }
        }
        Ok(())
    }

    /// Puts one more process into groups below the container's.
    pub(crate) fn join_below(&self, pid: i32, below: &Path) -> Result<()> {
        let plain = below.strip_prefix("/").unwrap_or(below);
        let mut missing = None;
        let mut is_in = false;
        for member in &self.members {
            let fault = |error| Error::Group {
                action: "join".to_owned(),
                path: member.directory.path.join(plain),
                source: error,
            };
            let group = match member.directory.child(plain) {
                // In version 1 whoever made it made it in some hierarchies alone, most of the time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    missing = Some(fault(error));
                    member.directory.child(Path::new("")).map_err(fault)?
                }
                other => {
                    is_in = true;
                    other.map_err(fault)?
                }
            };
            group.write(PROCESSES, &pid.to_string()).map_err(fault)?;
        }
        match missing {
            Some(error) if !is_in => Err(error),
            _ => Ok(()),
        }
    }

    /// Lets processes go on that version 1 holds back from dying.
    pub(crate) fn thaw(&self) {
        for member in &self.members {
            if member.version == Version::One && member.directory.has("freezer.state") {
                // Told to be sure: what is not frozen takes it, too.
                let _ = member.directory.write("freezer.state", "THAWED");
            }
        }
    }

    /// Ends what runs in the group, and takes the group away.
    pub(crate) fn end(&self) -> Result<()> {
        if !self.is_empty()? {
            self.kill()?;
        }
        self.remove()
    }
}

impl Member {
    /// The group below this one, in version 2, that a process is in.
    fn group_of(&self, process: i32) -> io::Result<Option<Directory>> {
        let (line, mut found) = (process.to_string(), None);
        each_below(&self.directory, &mut |group| {
            let all = group.read(PROCESSES).unwrap_or_default();
            if all.lines().any(|each| each == line) {
                found = Some(group.child(Path::new(""))?);
            }
            Ok(())
        })?;
        Ok(found)
    }
}

/// Whether a group was taken away meanwhile: systemd takes that of a scope away as soon as nobody is in it.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NODEV | Errno::NOENT))
}

fn motion_of(member: &Member) -> io::Result<Motion> {
    let frozen = match member.version {
        Version::Two => {
            let text = member.directory.read("cgroup.events")?;
            text.lines().any(|line| line == "frozen 1")
        }
        Version::One => member.directory.read("freezer.state")?.trim() == "FROZEN",
    };
    Ok(if frozen { Motion::Frozen } else { Motion::Running })
}

fn all_below(top: &Directory) -> io::Result<BTreeSet<i32>> {
    let mut all = BTreeSet::new();
    each_below(top, &mut |directory| {
        match directory.read(PROCESSES) {
            Ok(text) => all.extend(text.lines().filter_map(|line| line.parse::<i32>().ok())),
            // Gone meanwhile, or of threads, whose processes stand in the group above.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENODEV | libc::ENOENT | libc::EOPNOTSUPP)
                ) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    Ok(all)
}

/// Shows a group and all below it, one at a time: who made them may have made more than can be held open.
fn each_below(
    top: &Directory,
    show: &mut dyn FnMut(&Directory) -> io::Result<()>,
) -> io::Result<()> {
    let mut paths = vec![PathBuf::new()];
    let mut seen = 0;
    while let Some(path) = paths.pop() {
        seen += 1;
        if seen > GROUPS {
            return Err(io::Error::other(format!("more than {GROUPS} groups below one")));
        }
        let directory = match top.child(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        show(&directory)?;
        match directory.children() {
            Err(error) if is_gone(&error) => {}
            children => paths.extend(children?.iter().map(|name| path.join(name))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::table;
    use std::ffi::OsStr;

    #[test]
    fn a_group_that_somebody_else_took_away_has_ended() {
        let all = table::find().unwrap();
        let Some(two) = all.into_iter().find(|one| one.version == Version::Two) else {
            eprintln!("skipped: there are no control groups of version 2");
            return;
        };
        let name = format!("corten-test-{}", std::process::id());
        if let Err(error) = two.top.make(OsStr::new(&name)) {
            eprintln!("skipped: no group can be made: {error}");
            return;
        }
        let directory = two.top.child(Path::new(&name)).unwrap();
        two.top.remove(OsStr::new(&name)).unwrap();
        let (version, controllers, made, unit) = (Version::Two, Vec::new(), 1, None);
        let member = Member { version, controllers, directory, made, unit };
        let group = Group { members: vec![member], ..Group::default() };
        assert!(group.is_empty().unwrap());
        assert!(group.processes().unwrap().is_empty());
        group.kill().unwrap();
        group.end().unwrap();
    }
}

//! Devices of the machine for steps: `RUN --device`, in the names of the Container Device Interface.

use std::collections::BTreeMap;
use std::path::PathBuf;

use corten_bundle::config::DeviceGrant;
use corten_dockerfile::DeviceFlag;

use crate::error::{Result, refused};

/// What comes with a device.
#[derive(Clone, Debug, Default)]
pub struct StepDevice {
    /// Its nodes.
    pub nodes: Vec<DeviceGrant>,
    /// Variables.
    pub env: Vec<(String, String)>,
    /// Files and directories of the machine, with where they are seen and whether they are only read.
    pub binds: Vec<(PathBuf, String, bool)>,
}

/// The devices of the machine by their whole names, `vendor/class=device`, as far as whoever builds allows them.
#[derive(Clone, Debug, Default)]
pub struct StepDevices {
    /// Those that steps get.
    pub allowed: BTreeMap<String, StepDevice>,
    /// The names of others that there are.
    pub others: Vec<String>,
    /// Why they are not known, which is told to steps that want one.
    pub trouble: Option<String>,
}

/// What the flags of a RUN name.
#[derive(Debug)]
pub(crate) struct NamedDevices<'a> {
    /// Devices with their whole names.
    pub(crate) found: Vec<(&'a str, &'a StepDevice)>,
    /// What is not there and need not be.
    pub(crate) missing: Vec<String>,
}

impl StepDevices {
    /// What flags of a RUN name: one device, `class=*` for all of a class, or a class alone for the first of it.
    pub(crate) fn of(&self, flags: &[DeviceFlag]) -> Result<NamedDevices<'_>> {
        if let (Some(DeviceFlag { name, .. }), Some(trouble)) = (flags.first(), &self.trouble) {
            return refused(format!("--device={name}: {trouble}"));
        }
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for DeviceFlag { name, required } in flags {
            let most = if name.contains('=') { usize::MAX } else { 1 };
            let is_meant = |one: &str| match name.split_once('=') {
                Some((class, "*")) => one.split_once('=').is_some_and(|(of, _)| of == class),
                Some(_) => one == name,
                None => one.split_once('=').is_some_and(|(of, _)| of == name),
            };
            let before = found.len();
            for (one, device) in self.allowed.iter().filter(|(one, _)| is_meant(one)).take(most) {
                if !found.iter().any(|(known, _)| known == one) {
                    found.push((one.as_str(), device));
                }
            }
            if found.len() > before || self.allowed.keys().any(|one| is_meant(one)) {
                continue;
            }
            if self.others.iter().any(|one| is_meant(one)) {
                return refused(format!(
                    "--device={name} is for who builds to allow: --allow device={name}"
                ));
            }
            if *required {
                return refused(format!(
                    "--device={name}: no such device is described in /etc/cdi and /var/run/cdi (or where `device-specs` \
                     of the configuration says)"
                ));
            }
            missing.push(name.clone());
        }
        Ok(NamedDevices { found, missing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flag(name: &str, required: bool) -> DeviceFlag {
        DeviceFlag { name: name.to_owned(), required }
    }

    #[test]
    fn devices_are_named_alone_by_class_and_all_of_a_class() {
        let names = ["a.com/gpu=0", "a.com/gpu=1", "b.com/nic=x"];
        let allowed = names.map(|name| (name.to_owned(), StepDevice::default()));
        let others = vec!["c.com/y=1".to_owned()];
        let mut devices = StepDevices { allowed: allowed.into(), others, trouble: None };
        let named = |flags: &[DeviceFlag]| {
            let NamedDevices { found, missing } = devices.of(flags).unwrap();
            (found.into_iter().map(|(name, _)| name).collect::<Vec<_>>(), missing.len())
        };
        assert_eq!(named(&[flag("a.com/gpu=1", true)]), (vec!["a.com/gpu=1"], 0));
        assert_eq!(named(&[flag("a.com/gpu", true)]), (vec!["a.com/gpu=0"], 0));
        let all = [flag("a.com/gpu=*", true), flag("a.com/gpu=0", true), flag("d.com/z", false)];
        assert_eq!(named(&all), (vec!["a.com/gpu=0", "a.com/gpu=1"], 1));
        for (name, says) in [
            ("c.com/y=1", "--allow device=c.com/y=1"),
            ("c.com/y", "--allow"),
            ("d.com/z=1", "cdi"),
        ] {
            let error = devices.of(&[flag(name, true)]).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        devices.trouble = Some("a.yaml describes no devices".to_owned());
        assert!(devices.of(&[]).is_ok());
        assert!(devices.of(&[flag("a.com/gpu", false)]).is_err());
    }
}

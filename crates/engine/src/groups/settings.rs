//! What a configuration's resources are as files of control groups and their values (runtime-spec,
//! config-linux, "Control groups"), for either version of a controller.

use super::table::Version;
use super::{block, memory};
use crate::Unenforced;
use crate::error::{Error, Result};
use oci_spec::runtime::{LinuxCpu, LinuxHugepageLimit, LinuxNetwork, LinuxRdma, LinuxResources};
use std::collections::HashMap;

/// One value for one file of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) controller: String,
    /// Names of the file with the value each takes: the first that is there is written.
    pub(crate) files: Vec<(String, String)>,
    /// When none is there.
    pub(crate) absent: Absent,
}

/// Whether a file that this kernel lacks matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// The limit would not hold.
    Refused,
    /// Without the file there is nothing to limit.
    Fine,
}

impl Setting {
    /// Whether it would hinder the making of the container: it is set right before the start.
    pub(crate) fn is_late(&self) -> bool {
        self.files.iter().any(|(file, _)| file.starts_with("cpu.") || file.starts_with("pids."))
    }
}

/// Settings, as they are gathered.
pub(crate) struct Gathered<'a> {
    version: &'a dyn Fn(&str) -> Option<Version>,
    settings: Vec<Setting>,
}

impl Gathered<'_> {
    /// The version of the controller that `field` asks for.
    pub(crate) fn version(&self, controller: &str, field: &str) -> Result<Version> {
        (self.version)(controller).ok_or_else(|| Error::Unsupported {
            what: format!(
                "linux.resources.{field}: no control groups of the controller {controller} are mounted here"
            ),
        })
    }

    pub(crate) fn put(&mut self, controller: &str, file: &str, value: impl ToString) {
        self.put_first(controller, &[(file, value.to_string())], Absent::Refused);
    }

    pub(crate) fn put_first(&mut self, controller: &str, files: &[(&str, String)], absent: Absent) {
        let files = files.iter().map(|(file, value)| ((*file).to_owned(), value.clone())).collect();
        self.settings.push(Setting { controller: controller.to_owned(), files, absent });
    }
}

/// The error for a field that this version of the controller has no setting for.
pub(crate) fn not_in(field: &str, version: Version) -> Error {
    let version = match version {
        Version::One => 1,
        Version::Two => 2,
    };
    Error::Unsupported {
        what: format!("linux.resources.{field} with control groups of version {version}"),
    }
}

/// The error for a value that cannot be.
pub(crate) fn wrong(field: &str, value: impl ToString) -> Error {
    Error::Unsupported { what: format!("linux.resources.{field} {:?}", value.to_string()) }
}

/// Everything the resources ask for but device rules. `version` says in which version a controller is
/// mounted here.
pub(crate) fn settings(
    resources: &LinuxResources,
    version: &dyn Fn(&str) -> Option<Version>,
    leniency: Unenforced,
) -> Result<Vec<Setting>> {
    let mut gathered = Gathered { version, settings: Vec::new() };
    let to = &mut gathered;
    if let Some(memory) = resources.memory() {
        leniency.pardon(memory::gather(memory, to))?;
    }
    if let Some(cpu) = resources.cpu() {
        leniency.pardon(gather_cpu(cpu, to))?;
        leniency.pardon(gather_cpuset(cpu, to))?;
    }
    // Callers write 0 for what they do not limit.
    if let Some(limit) = resources.pids().map(|pids| pids.limit()).filter(|limit| *limit != 0) {
        leniency.pardon(gather_pids(limit, to))?;
    }
    if let Some(block) = resources.block_io() {
        leniency.pardon(block::gather(block, to))?;
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        leniency.pardon(gather_hugepages(limit, to))?;
    }
    if let Some(network) = resources.network() {
        leniency.pardon(gather_network(network, to))?;
    }
    leniency.pardon(gather_rdma(resources.rdma().as_ref(), to))?;
    leniency.pardon(gather_unified(resources.unified().as_ref(), to))?;
    Ok(gathered.settings)
}

fn gather_pids(limit: i64, to: &mut Gathered<'_>) -> Result<()> {
    to.version("pids", "pids")?;
    to.put("pids", "pids.max", max_or(limit));
    Ok(())
}

/// A number, or the word for no limit when it is negative.
pub(crate) fn max_or(number: i64) -> String {
    if number < 0 { "max".to_owned() } else { number.to_string() }
}

fn gather_cpu(cpu: &LinuxCpu, to: &mut Gathered<'_>) -> Result<()> {
    let shares = cpu.shares().filter(|shares| *shares != 0);
    let period = cpu.period().filter(|period| *period != 0);
    let quota = cpu.quota().filter(|quota| *quota != 0);
    let real_time = (cpu.realtime_period().filter(|period| *period != 0), cpu.realtime_runtime());
    let asked = shares.is_some() || period.is_some() || quota.is_some();
    if !asked && cpu.idle().is_none() && cpu.burst().is_none() && real_time == (None, None) {
        return Ok(());
    }
    match to.version("cpu", "cpu")? {
        Version::One => {
            let rows = [
                ("cpu.shares", shares.map(|number| number.to_string())),
                ("cpu.idle", cpu.idle().map(|number| number.to_string())),
                ("cpu.rt_period_us", real_time.0.map(|number| number.to_string())),
                ("cpu.rt_runtime_us", real_time.1.map(|number| number.to_string())),
                ("cpu.cfs_period_us", period.map(|number| number.to_string())),
                ("cpu.cfs_quota_us", quota.map(|number| number.max(-1).to_string())),
                ("cpu.cfs_burst_us", cpu.burst().map(|number| number.to_string())),
            ];
            for (file, value) in rows {
                if let Some(value) = value {
                    to.put("cpu", file, value);
                }
            }
        }
        Version::Two => {
            if real_time != (None, None) {
                return Err(not_in("cpu.realtimeRuntime", Version::Two));
            }
            if let Some(shares) = shares {
                to.put("cpu", "cpu.weight", weight(shares));
            }
            if let Some(idle) = cpu.idle() {
                to.put("cpu", "cpu.idle", idle);
            }
            let quota = quota.map(max_or);
            match (quota, period) {
                (Some(quota), Some(period)) => {
                    to.put("cpu", "cpu.max", format!("{quota} {period}"))
                }
                (Some(quota), None) => to.put("cpu", "cpu.max", quota),
                (None, Some(period)) => to.put("cpu", "cpu.max", format!("max {period}")),
                (None, None) => {}
            }
            if let Some(burst) = cpu.burst() {
                to.put("cpu", "cpu.max.burst", burst);
            }
        }
    }
    Ok(())
}

/// The weight of version 2 for shares of version 1: the curve that goes through the least, the usual and the
/// greatest value of both (2 to 1, 1024 to 100, 262144 to 10000), as the runtimes of the field have it.
pub(crate) fn weight(shares: u64) -> u32 {
    const GREATEST: u32 = 10_000;
    let Some(shares) = u32::try_from(shares).ok().filter(|shares| *shares < 1 << 18) else {
        return GREATEST;
    };
    let log = f64::from(shares.max(2)).log2();
    let wanted = 10_f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0);
    // The least whole number that is not below.
    let (mut low, mut high) = (1, GREATEST);
    while low < high {
        let middle = low.midpoint(high);
        if f64::from(middle) < wanted { low = middle + 1 } else { high = middle }
    }
    low
}

fn gather_cpuset(cpu: &LinuxCpu, to: &mut Gathered<'_>) -> Result<()> {
    for (file, field, value) in
        [("cpuset.cpus", "cpu.cpus", cpu.cpus()), ("cpuset.mems", "cpu.mems", cpu.mems())]
    {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            to.version("cpuset", field)?;
            to.put("cpuset", file, value);
        }
    }
    Ok(())
}

fn gather_hugepages(limit: &LinuxHugepageLimit, to: &mut Gathered<'_>) -> Result<()> {
    let size = limit.page_size();
    let number = size.trim_end_matches("KB").trim_end_matches("MB").trim_end_matches("GB");
    let plain = !number.is_empty() && number.bytes().all(|sign| sign.is_ascii_digit());
    if !plain || number.len() + 2 != size.len() {
        return Err(wrong("hugepageLimits.pageSize", size));
    }
    let (word, value) = match to.version("hugetlb", "hugepageLimits")? {
        Version::One => ("limit_in_bytes", limit.limit().max(-1).to_string()),
        Version::Two => ("max", max_or(limit.limit())),
    };
    to.put("hugetlb", &format!("hugetlb.{size}.{word}"), &value);
    // Pages that were reserved before they are touched are counted apart, by kernels that know of it.
    let reserved = format!("hugetlb.{size}.rsvd.{word}");
    to.put_first("hugetlb", &[(&reserved, value)], Absent::Fine);
    Ok(())
}

fn gather_network(network: &LinuxNetwork, to: &mut Gathered<'_>) -> Result<()> {
    if let Some(class) = network.class_id().filter(|class| *class != 0) {
        to.version("net_cls", "network.classID")?;
        to.put("net_cls", "net_cls.classid", class);
    }
    for priority in network.priorities().iter().flatten() {
        let name = priority.name();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(wrong("network.priorities.name", name));
        }
        to.version("net_prio", "network.priorities")?;
        to.put("net_prio", "net_prio.ifpriomap", format!("{name} {}", priority.priority()));
    }
    Ok(())
}

fn gather_rdma(rdma: Option<&HashMap<String, LinuxRdma>>, to: &mut Gathered<'_>) -> Result<()> {
    for (device, limit) in rdma.into_iter().flatten() {
        if device.is_empty() || device.contains(char::is_whitespace) {
            return Err(wrong("rdma", device));
        }
        let mut line = device.clone();
        for (word, number) in
            [("hca_handle", limit.hca_handles()), ("hca_object", limit.hca_objects())]
        {
            if let Some(number) = number {
                line.push_str(&format!(" {word}={number}"));
            }
        }
        to.version("rdma", "rdma")?;
        to.put("rdma", "rdma.max", line);
    }
    Ok(())
}

/// Files of version 2 by their names. Not those that move or end processes.
fn gather_unified(unified: Option<&HashMap<String, String>>, to: &mut Gathered<'_>) -> Result<()> {
    let mut pairs: Vec<_> = unified.into_iter().flatten().collect();
    pairs.sort();
    for (file, value) in pairs {
        let plain = file
            .bytes()
            .all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, b'_' | b'.' | b'-'));
        let Some((controller, rest)) = file.split_once('.').filter(|_| plain) else {
            return Err(wrong("unified", file));
        };
        let core = controller == "cgroup";
        if core && !rest.starts_with("max.") || controller.is_empty() || rest.is_empty() {
            return Err(wrong("unified", file));
        }
        // The files of the core are in every group of version 2.
        let version = to.version(if core { "" } else { controller }, "unified")?;
        if version == Version::One {
            return Err(not_in(&format!("unified.{file}"), Version::One));
        }
        for line in value.lines() {
            to.put(if core { "" } else { controller }, file, line);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The settings as `file=value`, all controllers in one version; alternatives are parted by `|`.
    fn told(version: Version, resources: Value) -> std::result::Result<Vec<String>, String> {
        let resources: LinuxResources = serde_json::from_value(resources).unwrap();
        let all = settings(&resources, &|_| Some(version), Unenforced::Refuse);
        let show = |setting: Setting| {
            let files: Vec<_> =
                setting.files.iter().map(|(file, value)| format!("{file}={value}")).collect();
            files.join("|")
        };
        all.map(|all| all.into_iter().map(show).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn weights_follow_the_curve_of_the_field() {
        for (shares, wanted) in [
            (0, 1),
            (2, 1),
            (1024, 100),
            (512, 59),
            (2048, 174),
            (262_144, 10_000),
            (u64::MAX, 10_000),
        ] {
            assert_eq!(weight(shares), wanted, "{shares}");
        }
        assert!((2..262_144).step_by(61).all(|shares| weight(shares) <= weight(shares + 61)));
    }

    #[test]
    fn version_two_has_its_own_words() {
        let all = told(
            Version::Two,
            json!({
                "memory": { "limit": 100, "swap": 150, "reservation": 50 },
                "cpu": { "shares": 1024, "quota": 20_000, "period": 50_000, "burst": 9, "cpus": "0-1", "mems": "0" },
                "pids": { "limit": -1 },
                "blockIO": {
                    "weight": 1000, "weightDevice": [{ "major": 8, "minor": 0, "weight": 10 }],
                    "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 7 }],
                    "throttleWriteIOPSDevice": [{ "major": 8, "minor": 0, "rate": 9 }]
                },
                "hugepageLimits": [{ "pageSize": "1GB", "limit": -1 }],
                "rdma": { "mlx5_0": { "hcaHandles": 3 } },
                "unified": { "io.max": "8:0 rbps=1\n8:16 rbps=2", "memory.high": "9" }
            }),
        );
        let wanted = [
            "memory.max=100",
            "memory.swap.max=50",
            "memory.low=50",
            "cpu.weight=100",
            "cpu.max=20000 50000",
            "cpu.max.burst=9",
            "cpuset.cpus=0-1",
            "cpuset.mems=0",
            "pids.max=max",
            "io.bfq.weight=1000|io.weight=10000",
            "io.bfq.weight=8:0 10|io.weight=8:0 1",
            "io.max=8:0 rbps=7",
            "io.max=8:0 wiops=9",
            "hugetlb.1GB.max=max",
            "hugetlb.1GB.rsvd.max=max",
            "rdma.max=mlx5_0 hca_handle=3",
            "io.max=8:0 rbps=1",
            "io.max=8:16 rbps=2",
            "memory.high=9",
        ];
        assert_eq!(all.unwrap(), wanted);
        let none =
            json!({ "memory": { "limit": 0 }, "cpu": { "shares": 0 }, "pids": { "limit": 0 } });
        assert_eq!(told(Version::Two, none), Ok(Vec::new()));
        assert_eq!(
            told(Version::Two, json!({ "memory": { "limit": -1 } })).unwrap(),
            ["memory.max=max", "memory.swap.max=max"]
        );
        assert_eq!(
            told(Version::Two, json!({ "cpu": { "period": 5 } })).unwrap(),
            ["cpu.max=max 5"]
        );
    }

    #[test]
    fn version_one_keeps_the_words_of_the_specification() {
        let all = told(
            Version::One,
            json!({
                "memory": { "limit": -1, "kernelTCP": 5, "disableOOMKiller": true },
                "cpu": { "realtimeRuntime": 3, "idle": 1 },
                "network": { "classID": 7, "priorities": [{ "name": "eth0", "priority": 2 }] },
                "blockIO": { "weight": 500, "throttleWriteBpsDevice": [{ "major": 8, "minor": 1, "rate": 4 }] }
            }),
        );
        let wanted = [
            "memory.limit_in_bytes=-1",
            "memory.memsw.limit_in_bytes=-1",
            "memory.kmem.tcp.limit_in_bytes=5",
            "memory.oom_control=1",
            "cpu.idle=1",
            "cpu.rt_runtime_us=3",
            "blkio.weight=500|blkio.bfq.weight=500",
            "blkio.throttle.write_bps_device=8:1 4",
            "net_cls.classid=7",
            "net_prio.ifpriomap=eth0 2",
        ];
        assert_eq!(all.unwrap(), wanted);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_by_its_name() {
        for (version, resources, why) in [
            (Version::Two, json!({ "memory": { "swappiness": 1 } }), "memory.swappiness"),
            (Version::Two, json!({ "memory": { "limit": 9, "swap": 8 } }), "memory.swap"),
            (Version::Two, json!({ "memory": { "swap": 8 } }), "memory.swap without a limit"),
            (Version::Two, json!({ "cpu": { "realtimePeriod": 8 } }), "cpu.realtime"),
            (Version::One, json!({ "unified": { "memory.max": "1" } }), "unified.memory.max"),
            (Version::Two, json!({ "unified": { "cgroup.procs": "1" } }), "unified"),
            (Version::Two, json!({ "unified": { "cgroup.kill": "1" } }), "unified"),
            (Version::Two, json!({ "unified": { "../memory.max": "1" } }), "unified"),
            (
                Version::Two,
                json!({ "hugepageLimits": [{ "pageSize": "../2MB", "limit": 1 }] }),
                "pageSize",
            ),
            (Version::One, json!({ "blockIO": { "weight": 5 } }), "blockIO.weight"),
            (Version::One, json!({ "blockIO": { "leafWeight": 50 } }), "blockIO.leafWeight"),
            (
                Version::One,
                json!({ "network": { "priorities": [{ "name": "a b", "priority": 1 }] } }),
                "name",
            ),
            (Version::Two, json!({ "rdma": { "a\nb": {} } }), "rdma"),
        ] {
            let error = told(version, resources.clone()).unwrap_err();
            assert!(error.contains(why), "{resources} {error}");
        }
        let resources: LinuxResources =
            serde_json::from_value(json!({ "pids": { "limit": 9 }, "network": { "classID": 1 } }))
                .unwrap();
        let mounted = |name: &str| (name == "pids").then_some(Version::One);
        let error = settings(&resources, &mounted, Unenforced::Refuse).unwrap_err().to_string();
        assert!(
            error.contains("linux.resources.network.classID") && error.contains("net_cls"),
            "{error}"
        );
        // Who goes without what cannot be had keeps the rest.
        assert_eq!(settings(&resources, &mounted, Unenforced::Ignore).unwrap().len(), 1);
    }
}

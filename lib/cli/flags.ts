/** The flags of `tsbox run`: Docker's names and words. @module */
import { Option } from "commander";
import type { FlagGroups, Verb } from "./verb.ts";

/** The flags as they were typed. */
export interface RunFlags {
  rootfs?: string;
  pull?: string;
  quiet?: boolean;
  platform?: string;
  entrypoint?: string;
  interactive?: boolean;
  tty?: boolean;
  attach?: string[];
  sigProxy?: boolean;
  stopSignal?: string;
  stopTimeout?: string;
  env?: string[];
  envFile?: string[];
  workdir?: string;
  user?: string;
  hostname?: string;
  timeout?: string;
  groupAdd?: string[];
  umask?: string;
  domainname?: string;
  sysctl?: string[];
  oomScoreAdj?: string;
  /** Accepted, and always the case. */
  init?: boolean;
  /** Docker's for Windows. */
  isolation?: string;
  volume?: string[];
  mount?: string[];
  tmpfs?: string[];
  device?: string[];
  shmSize?: string;
  writableLayer?: string;
  readOnly?: boolean;
  bun?: boolean;
  memory?: string;
  memorySwap?: string;
  memoryReservation?: string;
  memorySwappiness?: string;
  oomKillDisable?: boolean;
  cpus?: string;
  cpuShares?: string;
  cpuPeriod?: string;
  cpuQuota?: string;
  cpusetCpus?: string;
  cpusetMems?: string;
  pidsLimit?: string;
  blkioWeight?: string;
  blkioWeightDevice?: string[];
  deviceReadBps?: string[];
  deviceWriteBps?: string[];
  deviceReadIops?: string[];
  deviceWriteIops?: string[];
  cpuTime?: string;
  disk?: string;
  bandwidth?: string;
  traffic?: string;
  cgroupParent?: string;
  optionalLimits?: boolean;
  deviceCgroupRule?: string[];
  ulimit?: string[];
  network?: string[];
  /** Docker's older word for it. */
  net?: string[];
  allow?: string[];
  deny?: string[];
  capAdd?: string[];
  capDrop?: string[];
  securityOpt?: string[];
  privileged?: boolean;
  pid?: string;
  ipc?: string;
  uts?: string;
  userns?: string;
  uidmap?: string[];
  gidmap?: string[];
  cgroupns?: string;
  /** Of a sandbox, always the case. */
  rm?: boolean;
}

/** What containers have besides. */
export interface ContainerFlags extends RunFlags {
  detach?: boolean;
  name?: string;
  restart?: string;
  cidfile?: string;
  label?: string[];
  labelFile?: string[];
  annotation?: string[];
  detachKeys?: string;
  healthCmd?: string;
  healthInterval?: string;
  healthTimeout?: string;
  healthRetries?: string;
  healthStartPeriod?: string;
  healthStartInterval?: string;
  /** False by `--no-healthcheck`. */
  healthcheck?: boolean;
  logDriver?: string;
  logOpt?: string[];
  volumesFrom?: string[];
  volumeDriver?: string;
  addHost?: string[];
  dns?: string[];
  dnsSearch?: string[];
  dnsOption?: string[];
  /** Docker's older word for it. */
  dnsOpt?: string[];
  expose?: string[];
  publish?: string[];
  publishAll?: boolean;
  ip?: string;
  ip6?: string;
  macAddress?: string;
  networkAlias?: string[];
  /** Docker's older word for it. */
  netAlias?: string[];
}

type Flag = [written: string, description: string];

const IMAGE: Flag[] = [
  ["--rootfs <DIR|host>", "No image: a directory, or a view of the host's own files"],
  ["--pull <always|missing|never>", "When it comes from its registry (default missing)"],
  ["-q, --quiet", "Say nothing of what is pulled"],
  ["--platform <OS/ARCH>", 'Of an image that is for several: "linux/arm64"'],
];

const PROCESS: Flag[] = [
  ["--entrypoint <COMMAND>", 'Instead of the image\'s, and of its command; "": none'],
  ["-i, --interactive", "Connect stdin; without it, the command reads /dev/null"],
  ["-a, --attach <STREAM>...", "Connect these only (default stdout and stderr)"],
  ["--sig-proxy", "Pass signals on (default true)"],
  ["--stop-signal <SIGNAL>", "What stops it (default the image's, or SIGTERM)"],
  ["--stop-timeout <SECONDS>", "Kill what has not stopped until then"],
  ["-t, --tty", "A terminal for the command; -it: joined to your own"],
  ["-e, --env <K=V>...", "Set a variable; without a value, the caller's"],
  ["--env-file <FILE>...", "Read variables from a file, one per line"],
  ["-w, --workdir <DIR>", "Working directory inside (default the image's, or /)"],
  ["-u, --user <USER>", 'Name or uid, and group: "1000:1000" (default the image\'s, or root)'],
  ["--group-add <GROUP>...", "A group besides the user's own, by name or gid"],
  ["--umask <MODE>", "Bits that new files do not get (default 0022)"],
  ["-h, --hostname <NAME>", "Host name inside"],
  ["--domainname <NAME>", "NIS domain name inside"],
  ["--timeout <TIME>", 'Kill everything inside after "500ms", "2s", "1m"'],
  ["--init", "Accepted, and always so: pid 1 forwards and reaps"],
  ["--rm", "Remove it when it has ended, as a sandbox always is"],
];

const FILES: Flag[] = [
  ["-v, --volume <SRC:DST>...", 'A file, a directory or a volume; read-only: ":ro"'],
  ["--tmpfs <DST>...", 'A filesystem in memory: "/tmp:size=64m,mode=1777"'],
  ["--mount <OPTIONS>...", '"type=bind,source=./a,target=/a,readonly", tmpfs, volume'],
  ["--device <SRC[:DST]>...", 'A device of the host: "/dev/fuse", "/dev/x:r"'],
  ["--shm-size <SIZE>", "Of /dev/shm (default 64m)"],
  ["--writable-layer <DIR>", "Keeps what is written over the root filesystem for the next"],
  ["--read-only", "The root filesystem cannot be written"],
  ["--bun", "tsbox's own Bun as bun; always so for that command"],
];

const LIMITS: Flag[] = [
  ["-m, --memory <SIZE>", 'Memory of all processes together: "64m", "1g"'],
  ["--memory-swap <SIZE>", "Memory and swap together (default as -m); -1: any"],
  ["--memory-reservation <SIZE>", "What it keeps when memory is short elsewhere"],
  ["--memory-swappiness <0-100>", "How readily it is swapped; cgroup v1 only"],
  ["--oom-kill-disable", "Wait for memory rather than be killed; cgroup v1 only"],
  ["--cpus <NUMBER>", "CPUs' worth of time: 0.5 is half of one"],
  ["-c, --cpu-shares <NUMBER>", "Part of the CPUs among those who want them: 2 to 262144"],
  ["--cpu-period <US>", "Microseconds that a quota is for (default 100000)"],
  ["--cpu-quota <US>", "Of CPU time in a period; -1: unlimited"],
  ["--cpuset-cpus <LIST>", 'CPUs that may be used: "0-2,5"'],
  ["--cpuset-mems <LIST>", "Memory nodes that may be used"],
  ["--cpu-time <TIME>", 'Kill everything inside after so much CPU time: "2s"'],
  ["--pids-limit <NUMBER>", "Processes and threads at a time; -1: unlimited"],
  ["--disk <SIZE>", 'What can be written to the root filesystem: "64m"'],
  ["--device-read-bps <DEV:SIZE>...", "Bytes a second from a block device, or a path's"],
  ["--device-write-bps <DEV:SIZE>...", "Bytes a second to it"],
  ["--device-read-iops <DEV:N>...", "Reads a second"],
  ["--device-write-iops <DEV:N>...", "Writes a second"],
  ["--blkio-weight <10-1000>", "Part of I/O, where the scheduler has weights"],
  ["--blkio-weight-device <DEV:N>...", "Part of one device's"],
  ["--bandwidth <LIMITS>", 'Of each network: "down=10mbit,up=2mbit,burst=64k"'],
  ["--traffic <SIZE>", "Kill everything inside after so much in and out, with --allow"],
  ["--cgroup-parent <PATH>", "A control group to be in"],
  ["--optional-limits", "Leave out, with a warning, what is not possible here"],
  ["--oom-score-adj <NUM>", "How readily it is killed for memory: -1000 to 1000"],
  ["--ulimit <NAME=N[:N]>...", 'Limit of setrlimit(2): "nofile=1024:2048"'],
];

const ISOLATION: Flag[] = [
  ["--network <NETWORK>...", "none: a loopback only (default); host, pasta, container:NAME, ns:PATH; or NAME"],
  ["--allow <WHERE>...", 'A way out to there alone: "example.com:443", "10.0.0.0/8", "*"'],
  ["--deny <WHERE>...", "A way out, but not to there"],
  ["--cap-add <NAME>...", "Add a capability; ALL for every one"],
  ["--cap-drop <NAME>...", "Drop a capability; ALL for every one"],
  [
    "--security-opt <OPTION>...",
    "seccomp=unconfined, seccomp=FILE.json, landlock=default, landlock=none, systempaths=unconfined, apparmor=unconfined, label=disable, or no-new-privileges=false (default true)",
  ],
  ["--privileged", "No protection: all capabilities and devices, no filter, nothing read-only"],
  ["--device-cgroup-rule <RULE>...", 'Only the usual devices and these: "c 10:200 rwm"'],
  ["--sysctl <NAME=VALUE>...", 'A kernel parameter of its own namespaces: "net.…"'],
  ["--pid <host>", "Share the host's processes, or container:NAME, ns:PATH"],
  ["--ipc <host>", "Share the host's IPC namespace, or container:NAME, ns:PATH; none: no /dev/shm"],
  ["--uts <host>", "Share the host's name, or ns:PATH"],
  ["--userns <auto|host>", "auto: ids of its own; host: root inside is root outside; or ns:PATH"],
  ["--uidmap <IDS>...", 'Users inside as those of the host: "0:100000:65536"'],
  ["--gidmap <IDS>...", "Groups likewise; one of the two is both"],
  ["--cgroupns <host>", "Share the host's view of cgroups"],
];

/** What a container has besides. */
const CONTAINER: Flag[] = [
  ["--name <NAME>", "What it is called (default made up)"],
  ["-d, --detach", "Print its id, and leave it alone"],
  ["--restart <POLICY>", "no (default), always, unless-stopped, on-failure[:N]"],
  ["-l, --label <KEY=VALUE>...", "What it is labelled with"],
  ["--label-file <FILE>...", "Read labels from a file, one per line"],
  ["--annotation <KEY=VALUE>...", "An annotation of its OCI specification"],
  ["--cidfile <FILE>", "Write its id there"],
  ["--detach-keys <KEYS>", "What leaves it alone (default ctrl-p,ctrl-q)"],
  ["--log-driver <local|json-file|none>", "Where what it writes is kept (default local)"],
  ["--log-opt <KEY=VALUE>...", "max-size=10m, max-file=3"],
  ["--volumes-from <CONTAINER>...", 'The volumes of another as well; read-only: ":ro"'],
  ["--volume-driver <local>", "Of named volumes"],
  ["--add-host <NAME:IP>...", "A line of /etc/hosts"],
  ["--dns <IP>...", "A name server, in /etc/resolv.conf"],
  ["--dns-search <DOMAIN>...", "Where short names are looked for"],
  ["--dns-option <OPTION>...", "How names are looked up"],
  ["-p, --publish <PORTS>...", 'Of a network: "8080:80", "127.0.0.1:53:53/udp", "80"'],
  ["-P, --publish-all", "All that its image names, at ports that are free"],
  ["--ip <ADDRESS>", "That it has in its network"],
  ["--ip6 <ADDRESS>", "That of version 6"],
  ["--mac-address <MAC>", "Of its network device"],
  ["--network-alias <NAME>...", "What others in its network know it by as well"],
  ["--expose <PORT>...", 'What it says that it listens at: "80", "53/udp"'],
];

const HEALTH: Flag[] = [
  ["--health-cmd <COMMAND>", "For a shell: whether it does what it is for"],
  ["--health-interval <TIME>", "Between two checks (default 30s)"],
  ["--health-timeout <TIME>", "Of one check (default 30s)"],
  ["--health-retries <NUMBER>", "Failures that make it unhealthy (default 3)"],
  ["--health-start-period <TIME>", "So long failures do not count (default 0s)"],
  ["--health-start-interval <TIME>", "Between two checks in that time (default 5s)"],
  ["--no-healthcheck", "None, whatever the image says"],
];

/** Of a sandbox. */
export const SANDBOX_FLAGS: FlagGroups = {
  "Image:": IMAGE,
  "Process:": PROCESS,
  "Files:": FILES,
  "Limits:": LIMITS,
  "Isolation:": ISOLATION,
};

/** Of either. */
export const RUN_FLAGS: FlagGroups = { "Image:": IMAGE, "Container:": CONTAINER, "Health:": HEALTH, ...SANDBOX_FLAGS };

const STATUS = `
Exit status: the command's own, or 128+N when signal N killed it; 124 after --timeout,
125 when tsbox failed, 126 when the command cannot be executed, 127 when it is not found.
`;

export const CREATE_EXAMPLES = `
Prints its id; "tsbox start" starts it.

Examples:
  tsbox create --name web -v data:/srv:ro nginx
  tsbox create -it --rm alpine sh
`;

export const PLAN_EXAMPLES = `
Examples:
  tsbox plan run --rootfs host true
  tsbox plan run -m 128m --pids-limit 64 -v ./src:/src:ro alpine sh
`;

export const RUN_EXAMPLES = `${STATUS}
With --rm or --rootfs, and without what only a container has, it is a sandbox, which
starts sooner and ends with tsbox. Anything else is a container: "tsbox ps -a" lists it.

Examples:
  tsbox run --rm debian:bookworm cat /etc/os-release
  tsbox run --rm -i -v ./src:/src:ro -w /src python:3 python - < script.py
  tsbox run --rm -m 128m --cpus 0.5 --pids-limit 64 --timeout 2s alpine du -sh /usr
  tsbox run -d --name db -v data:/var/lib/data --restart unless-stopped postgres
  tsbox run --rootfs host -v .:/app:ro -w /app bun script.ts
  tsbox run --rootfs ./debian -u 1000:1000 --tmpfs /tmp:size=64m bash -c 'id; df /tmp'
`;

/** What the verbs that take them have besides. @param more behind the flags, in its help */
export function declareRun(verb: Verb, more: string): void {
  verb.addOption(new Option("--net <none|host>").argParser(repeated).hideHelp());
  verb.optionsGroup("Help:").helpOption("--help", "Print this help and quit");
  verb.usage(`[FLAGS] IMAGE [COMMAND] [ARG...]\n       ${verb.path()} [FLAGS] --rootfs DIR|host COMMAND [ARG...]`);
  verb.argument("<IMAGE>").argument("[COMMAND...]").passThroughOptions();
  verb.addHelpText("after", more);
}

/** Older words of Docker's, and what says nothing on Linux. */
export function declareOlder(verb: Verb): void {
  verb.addOption(new Option("--isolation <default>").hideHelp());
  for (const old of ["--dns-opt <OPTION>", "--net-alias <NAME>"])
    verb.addOption(new Option(old).argParser(repeated).hideHelp());
}

const repeated = (value: string, before: string[] = []) => [...before, value];

/** The flags of `tsbox build`: Docker's names and words. @module */
export interface BuildFlags {
  tag?: string[];
  file?: string;
  buildArg?: string[];
  buildContext?: string[];
  target?: string;
  before?: string;
  platform?: string;
  label?: string[];
  /** False by `--no-cache`. */
  cache?: boolean;
  noCacheFilter?: string[];
  pull?: boolean;
  cacheFrom?: string[];
  cacheTo?: string[];
  secret?: string[];
  ssh?: string[];
  network?: string;
  addHost?: string[];
  allow?: string[];
  memory?: string;
  memorySwap?: string;
  cpuShares?: string;
  cpuPeriod?: string;
  cpuQuota?: string;
  cpusetCpus?: string;
  cpusetMems?: string;
  shmSize?: string;
  ulimit?: string[];
  cgroupParent?: string;
  securityOpt?: string[];
  isolation?: string;
  output?: string[];
  push?: boolean;
  load?: boolean;
  squash?: boolean;
  iidfile?: string;
  metadataFile?: string;
  provenance?: string;
  sbom?: string;
  progress?: string;
  plan?: boolean;
  check?: boolean;
  quiet?: boolean;
}

export const BUILD_FLAGS: [written: string, description: string][] = [
  ["-t, --tag <NAME[:TAG]>...", "What it is called"],
  ["-f, --file <PATH>", 'The Dockerfile (default PATH/Dockerfile); "-": from stdin'],
  ["--build-arg <NAME=VALUE>...", "Of an ARG; without a value, the caller's variable"],
  ["--build-context <NAME=SOURCE>...", "A further context, for --from=NAME and FROM"],
  ["--target <STAGE>", "The stage that is wanted (default the last)"],
  ["--before <LINE>", "What is there before this line of the file: to look why it fails"],
  ["--platform <PLATFORM>", "What it is for (default this host)"],
  ["--label <KEY=VALUE>...", "What it is labelled with"],
  ["--no-cache", "Do all of it anew"],
  ["--no-cache-filter <STAGE>...", "Do these stages anew"],
  ["--pull", "Ask registries whether there are newer base images"],
  ["--cache-from <SOURCE>...", "Of a registry: NAME; or type=local,src=DIR"],
  ["--cache-to <DEST>...", "type=registry,ref=NAME[,mode=max], type=local,dest=DIR"],
  ["--secret <SECRET>...", "For RUN --mount=type=secret: id=KEY,src=FILE, id=KEY,env=NAME"],
  ["--ssh <ID[=SOCKET|KEY]>...", 'For RUN --mount=type=ssh: an agent, "default", or the file of a private key'],
  ["--network <default|none|host>", "Of RUN, unless it says itself"],
  ["--add-host <NAME:IP>...", "A line of /etc/hosts of RUN"],
  ["--allow <RIGHT>...", "RUN may ask for network.host, security.insecure"],
  ["-m, --memory <SIZE>", "Memory of a RUN's processes together: 64m, 1g"],
  ["--memory-swap <SIZE>", "Memory and swap together (default as -m); -1: any"],
  ["-c, --cpu-shares <NUMBER>", "A RUN's part of the CPUs among those who want them"],
  ["--cpu-period <US>", "Microseconds that a quota is for (default 100000)"],
  ["--cpu-quota <US>", "Of CPU time in a period; -1: unlimited"],
  ["--cpuset-cpus <LIST>", 'CPUs that a RUN may use: "0-2,5"'],
  ["--cpuset-mems <LIST>", "Memory nodes that it may use"],
  ["--shm-size <SIZE>", "Of its /dev/shm (default 64m)"],
  ["--ulimit <NAME=N[:N]>...", 'Its limits of setrlimit(2): "nofile=1024:2048"'],
  ["--cgroup-parent <PATH>", "A control group for it to be in"],
  ["--security-opt <OPTION>...", "seccomp=FILE, no-new-privileges, landlock=default"],
  ["--isolation <default>", "How a RUN is kept apart: there is one way"],
  ["-o, --output <OUTPUT>...", "A directory; type=tar,dest=FILE; type=oci, docker, image"],
  ["--push", "Upload it to its registry, by its names"],
  ["--load", "Into the store, also where --output says something else"],
  ["--squash", "One layer over those of the base image"],
  ["--iidfile <FILE>", "Write its id there"],
  ["--metadata-file <FILE>", "Write what came of it there, as JSON"],
  ["--provenance <false>", "Of where it comes from: nothing is attested"],
  ["--sbom <false>", "Of what is in it: nothing is attested"],
  ["--progress <auto|plain|tty|json>", "How it is told of (default auto: a tree on a terminal)"],
  ["--plan", "Print what would be done, and do nothing"],
  ["--check", "Print what may not be meant in the Dockerfile; 1 if anything"],
  ["-q, --quiet", "Print the id alone"],
];

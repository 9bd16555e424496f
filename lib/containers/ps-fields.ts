/** Columns of ps(1): what each is called, and what it says of a process. Pure. @module @see ps(1), "STANDARD FORMAT SPECIFIERS" */
import type { ProcessFacts } from "./processes.ts";

/** What is the same for all processes. */
export interface Moment {
  /** Milliseconds since 1970. */
  now: number;
  /** When the machine was started, likewise. */
  boot: number;
  memoryBytes: number;
  /** As it is inside; ids that have no name are themselves. */
  user(uid: number): string;
  group(gid: number): string;
  /** A pid on the host, of the container or not. */
  uid(uid: number): number;
  gid(gid: number): number;
}

export interface Field {
  title: string;
  of(facts: ProcessFacts, moment: Moment): string | number;
}

const KIB = 1024;
const [SECOND, MINUTE, HOUR, DAY] = [1000, 60_000, 3_600_000, 86_400_000];

const two = (number: number) => String(Math.floor(number)).padStart(2, "0");
const started = ({ startMs }: ProcessFacts, { boot }: Moment) => boot + startMs;
const elapsed = (facts: ProcessFacts, moment: Moment) => Math.max(0, moment.now - started(facts, moment));
const cpuMs = ({ userMs, systemMs }: ProcessFacts) => userMs + systemMs;
/** Of the time since it was started. */
const cpuPart = (facts: ProcessFacts, moment: Moment) => {
  const ms = elapsed(facts, moment);
  return ms > 0 ? (100 * cpuMs(facts)) / ms : 0;
};

/** `[DD-]HH:MM:SS` */
export function cpuTime(ms: number): string {
  const [days, hours] = [Math.floor(ms / DAY), Math.floor((ms % DAY) / HOUR)];
  return `${days > 0 ? `${days}-` : ""}${two(hours)}:${two((ms % HOUR) / MINUTE)}:${two((ms % MINUTE) / SECOND)}`;
}

/** `M:SS` */
const shortCpuTime = (ms: number) => `${Math.floor(ms / MINUTE)}:${two((ms % MINUTE) / SECOND)}`;

/** `[[DD-]HH:]MM:SS` */
export function elapsedTime(ms: number): string {
  const [days, hours] = [Math.floor(ms / DAY), Math.floor((ms % DAY) / HOUR)];
  const isLong = days > 0 || hours > 0;
  return `${days > 0 ? `${two(days)}-` : ""}${isLong ? `${two(hours)}:` : ""}${two((ms % HOUR) / MINUTE)}:${two((ms % MINUTE) / SECOND)}`;
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
const DAYS = "Sun Mon Tue Wed Thu Fri Sat".split(" ");

/** `10:24` within a day, `Nov25` of this year, `2025` of others. */
export function startTime(time: number, now: number): string {
  const [then, today] = [new Date(time), new Date(now)];
  if (now - time < DAY && then.getDate() === today.getDate())
    return `${two(then.getHours())}:${two(then.getMinutes())}`;
  if (then.getFullYear() === today.getFullYear()) return `${MONTHS[then.getMonth()]}${two(then.getDate())}`;
  return String(then.getFullYear());
}

function longStart(time: number): string {
  const date = new Date(time);
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
  return `${DAYS[date.getDay()]} ${MONTHS[date.getMonth()]} ${String(date.getDate()).padStart(2)} ${clock} ${date.getFullYear()}`;
}

/** Major and minor numbers as the kernel has them in 32 bits. */
export function terminalName(terminal: number): string {
  const major = (terminal >> 8) & 0xfff;
  const minor = (terminal & 0xff) | ((terminal >>> 12) & 0xfff00);
  if (terminal === 0) return "?";
  if (major >= 136 && major <= 143) return `pts/${minor + (major - 136) * 256}`;
  if (major === 4) return minor < 64 ? `tty${minor}` : `ttyS${minor - 64}`;
  return major === 5 && minor === 1 ? "console" : "?";
}

/** The state, and what else is to be known: `Ss`, `Sl+`, `R+`. */
export function statOf(facts: ProcessFacts): string {
  const { state, nice, pid, session, threads, group, foreground, lockedBytes } = facts;
  return [
    state,
    nice < 0 ? "<" : nice > 0 ? "N" : "",
    lockedBytes > 0 ? "L" : "",
    session === pid ? "s" : "",
    threads > 1 ? "l" : "",
    group === foreground ? "+" : "",
  ].join("");
}

/** Of what has no words any more, its name. */
export function commandLine({ words, comm, state }: ProcessFacts): string {
  if (state === "Z") return `[${comm}] <defunct>`;
  return words.length > 0 ? words.join(" ").trimEnd() : `[${comm}]`;
}

const POLICIES: Record<number, string> = { 0: "TS", 1: "FF", 2: "RR", 3: "B", 5: "IDL", 6: "DLN" };
const tenths = (number: number) => number.toFixed(1);
const kib = (bytes: number) => Math.floor(bytes / KIB);

const field = (title: string, of: Field["of"]): Field => ({ title, of });

const USER = field("USER", ({ uid }, { user }) => user(uid));
const PID = field("PID", ({ pid }) => pid);
const COMMAND = field("COMMAND", commandLine);
const NAME = field("COMMAND", ({ comm, state }) => (state === "Z" ? `${comm} <defunct>` : comm));
const STIME = field("STIME", (facts, moment) => startTime(started(facts, moment), moment.now));
const TTY = field("TTY", ({ terminal }) => terminalName(terminal));
const TIME = field("TIME", (facts) => cpuTime(cpuMs(facts)));
const CPU = field("%CPU", (facts, moment) => tenths(cpuPart(facts, moment)));
const MEM = field("%MEM", ({ residentBytes }, { memoryBytes }) => tenths((100 * residentBytes) / memoryBytes));
const VSZ = field("VSZ", ({ virtualBytes }) => kib(virtualBytes));
const RSS = field("RSS", ({ residentBytes }) => kib(residentBytes));
const STAT = field("STAT", statOf);
const NI = field("NI", ({ nice }) => nice);
const SESSION = field("SID", ({ session }) => session);
const THREADS = field("NLWP", ({ threads }) => threads);
const FLAGS = field("F", ({ flags }) => ((flags >> 6) & 7).toString(8));
const SZ = field("SZ", ({ virtualBytes }) => Math.floor(virtualBytes / 4096));
const PRI = field("PRI", ({ priority }) => 39 - priority);
const STATE = field("S", ({ state }) => state);
const PSR = field("PSR", ({ cpu }) => cpu);

/** By the names that `-o` takes. */
export const FIELDS: Readonly<Record<string, Field>> = {
  "%cpu": CPU,
  "%mem": MEM,
  args: COMMAND,
  c: field("C", (facts, moment) => Math.floor(cpuPart(facts, moment))),
  class: field("CLS", ({ policy }) => POLICIES[policy] ?? "?"),
  cls: field("CLS", ({ policy }) => POLICIES[policy] ?? "?"),
  cmd: { ...COMMAND, title: "CMD" },
  comm: NAME,
  command: COMMAND,
  cp: field("CP", (facts, moment) => Math.floor(10 * cpuPart(facts, moment))),
  cputime: TIME,
  egid: field("EGID", ({ gid }, moment) => moment.gid(gid)),
  egroup: field("EGROUP", ({ gid }, { group }) => group(gid)),
  etime: field("ELAPSED", (facts, moment) => elapsedTime(elapsed(facts, moment))),
  etimes: field("ELAPSED", (facts, moment) => Math.floor(elapsed(facts, moment) / SECOND)),
  euid: field("EUID", ({ uid }, moment) => moment.uid(uid)),
  euser: { ...USER, title: "EUSER" },
  f: FLAGS,
  flag: FLAGS,
  flags: FLAGS,
  fname: NAME,
  gid: field("GID", ({ gid }, moment) => moment.gid(gid)),
  group: field("GROUP", ({ gid }, { group }) => group(gid)),
  lstart: field("STARTED", (facts, moment) => longStart(started(facts, moment))),
  maj_flt: field("MAJFL", ({ majorFaults }) => majorFaults),
  min_flt: field("MINFL", ({ minorFaults }) => minorFaults),
  ni: NI,
  nice: NI,
  nlwp: THREADS,
  // not of ps: the same process, as those in the container know it
  nspid: field("NSPID", ({ pids, pid }) => pids.at(-1) ?? pid),
  pcpu: CPU,
  pgid: field("PGID", ({ group }) => group),
  pgrp: field("PGRP", ({ group }) => group),
  pid: PID,
  pmem: MEM,
  ppid: field("PPID", ({ parent }) => parent),
  pri: PRI,
  psr: PSR,
  rgid: field("RGID", ({ rgid }, moment) => moment.gid(rgid)),
  rgroup: field("RGROUP", ({ rgid }, { group }) => group(rgid)),
  rss: RSS,
  rssize: RSS,
  rsz: { ...RSS, title: "RSZ" },
  ruid: field("RUID", ({ ruid }, moment) => moment.uid(ruid)),
  ruser: field("RUSER", ({ ruid }, { user }) => user(ruid)),
  s: STATE,
  sess: { ...SESSION, title: "SESS" },
  session: { ...SESSION, title: "SESS" },
  sid: SESSION,
  start_time: { ...STIME, title: "START" },
  stat: STAT,
  state: STATE,
  stime: STIME,
  sz: SZ,
  thcount: { ...THREADS, title: "THCNT" },
  time: TIME,
  times: field("TIME", (facts) => Math.floor(cpuMs(facts) / SECOND)),
  tname: TTY,
  tt: { ...TTY, title: "TT" },
  tty: { ...TTY, title: "TT" },
  ucmd: { ...NAME, title: "CMD" },
  ucomm: NAME,
  uid: field("UID", ({ uid }, moment) => moment.uid(uid)),
  uname: USER,
  user: USER,
  vsize: VSZ,
  vsz: VSZ,
};

const get = (name: string): Field => FIELDS[name] as Field;
const titled = (title: string, name: string): Field => ({ ...get(name), title });

/** What options stand for. */
export const FORMATS = {
  /** Without any. */
  short: [PID, TTY, TIME, titled("CMD", "comm")],
  /** `-f` */
  full: [titled("UID", "user"), PID, get("ppid"), get("c"), STIME, TTY, TIME, get("cmd")],
  /** `-F` */
  extra: [titled("UID", "user"), PID, get("ppid"), get("c"), SZ, RSS, PSR, STIME, TTY, TIME, get("cmd")],
  /** `-l` */
  long: [FLAGS, STATE, get("uid"), PID, get("ppid"), get("c"), PRI, NI, SZ, TTY, TIME, titled("CMD", "comm")],
  /** `-j` */
  jobs: [PID, get("pgid"), SESSION, TTY, TIME, titled("CMD", "comm")],
  /** `u` */
  user: [
    USER,
    PID,
    CPU,
    MEM,
    VSZ,
    RSS,
    TTY,
    STAT,
    titled("START", "stime"),
    field("TIME", (facts) => shortCpuTime(cpuMs(facts))),
    COMMAND,
  ],
  /** Of BSD options without `u`. */
  bsd: [PID, TTY, STAT, field("TIME", (facts) => shortCpuTime(cpuMs(facts))), COMMAND],
  /** `j` */
  bsdJobs: [
    get("ppid"),
    PID,
    get("pgid"),
    SESSION,
    TTY,
    field("TPGID", ({ foreground }) => foreground),
    STAT,
    get("uid"),
    field("TIME", (facts) => shortCpuTime(cpuMs(facts))),
    COMMAND,
  ],
} as const satisfies Record<string, readonly Field[]>;

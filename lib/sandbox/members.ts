/**
 * The processes of a sandbox, and what they use, as the owner's /proc has them: for what no control group tells.
 * @module
 * @see proc_pid_stat(5)
 */
import {
  close,
  killWithGroup,
  kindOfPath,
  namesIn,
  readKernelFile,
  TOO_MANY_FILES,
  trySyscall,
  TsboxError,
} from "../../syscalls/index.ts";

export interface Member {
  pid: number;
  /** The same pid at another time is another process. */
  id: string;
  threads: number;
  userMs: number;
  systemMs: number;
  /** Of children that it has waited for. */
  reapedUserMs: number;
  reapedSystemMs: number;
}

interface Entry extends Member {
  parent: number;
  group: number;
}

/** Of the kernel's clock ticks: always 100 in a second. */
const TICK_MS = 10;

/** Undefined for one that is gone. */
function statusOf(pid: string): (Entry & { hasEnded: boolean }) | undefined {
  const stat = readKernelFile(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // the name before it may contain anything
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const number = (index: number) => Number(fields[index]);
  return {
    pid: Number(pid),
    id: `${pid} ${fields[19]}`,
    parent: number(1),
    group: number(2),
    threads: number(17),
    userMs: number(11) * TICK_MS,
    systemMs: number(12) * TICK_MS,
    reapedUserMs: number(13) * TICK_MS,
    reapedSystemMs: number(14) * TICK_MS,
    // one of several threads may have ended, and the others go on
    hasEnded: fields[0] === "Z" && number(17) <= 1,
  };
}

/** @throws TsboxError `system` */
function allPids(): string[] {
  const names = namesIn("/proc");
  // this process is there at least
  if (names.length === 0)
    throw new TsboxError('look for processes in "/proc": it cannot be read', { code: "system", hint: TOO_MANY_FILES });
  return names.filter((name) => /^\d+$/.test(name));
}

/**
 * All that come from these processes, and they themselves, but for those that have ended, reaped or not: who is in a pid
 * namespace cannot leave its init, and who shares the host's cannot leave the process group.
 * @throws TsboxError `system`
 */
export function membersOf(roots: readonly number[]): Member[] {
  return among(
    allPids().flatMap((pid) => statusOf(pid) ?? []),
    roots,
  );
}

function among(all: readonly (Entry & { hasEnded: boolean })[], roots: readonly number[]): Member[] {
  const entries = all.filter(({ hasEnded }) => !hasEnded);
  const children = Map.groupBy(entries, ({ parent }) => parent);
  const found = new Map<number, Member>();
  const add = (entry: Entry) => {
    if (found.has(entry.pid)) return;
    found.set(entry.pid, entry);
    children.get(entry.pid)?.forEach(add);
  };
  for (const entry of entries) if (roots.includes(entry.pid) || roots.includes(entry.group)) add(entry);
  return [...found.values()];
}

/**
 * Looks again and again, while they make others: what ends during a look may have left a child that the list of processes
 * does not have yet, and then the look is not whole. Numbers only grow, so without that each is seen.
 * @returns one look
 */
export function watchMembers(roots: () => readonly number[]): () => { pids: number[]; isWhole: boolean } {
  let ended = new Set<string>();
  return () => {
    let isWhole = true;
    const entries = allPids().flatMap((pid) => {
      const entry = statusOf(pid);
      // others' may be there without being told
      if (!entry) isWhole &&= kindOfPath(`/proc/${pid}`) !== undefined;
      return entry ?? [];
    });
    const endedNow = entries.filter(({ hasEnded }) => hasEnded).map(({ id }) => id);
    if (endedNow.some((id) => !ended.has(id))) isWhole = false;
    ended = new Set(endedNow);
    return { pids: among(entries, roots()).map(({ pid }) => pid), isWhole };
  };
}

/** Kills a command, which leads a group, and all that comes from it. @returns whether it was found */
export function killBelow(outside: number): boolean {
  let below: Member[];
  try {
    below = membersOf([outside]).filter(({ pid }) => pid !== outside);
  } catch {
    return false;
  }
  below.forEach(killMember);
  return below.length > 0;
}

/** With the group that it leads; nobody, where its pid has become another's. */
export function killMember({ pid, id }: Pick<Member, "pid" | "id">): void {
  const pidfd = trySyscall("pidfd_open", pid, 0);
  if (pidfd < 0) return;
  // looked at after it was opened: this is who it is
  if (statusOf(String(pid))?.id === id) killWithGroup(pidfd, pid);
  close(pidfd);
}

/** What a process has in memory for itself: files that it shares with others do not count. */
export function privateBytes({ pid }: Member): number {
  const [, resident = 0, shared = 0] = (readKernelFile(`/proc/${pid}/statm`) ?? "").split(" ").map(Number);
  return (resident - shared) * PAGE_BYTES;
}

const PAGE_BYTES = 4096;

interface Times {
  userMs: number;
  systemMs: number;
}

/**
 * CPU time of processes that come and go. A process that nobody waits for takes its time along when it ends: then it
 * counts as far as it was seen.
 */
export class SeenCpuTime {
  #running = new Map<string, Times>();
  readonly #ended: Times = { userMs: 0, systemMs: 0 };
  readonly #told: Times = { userMs: 0, systemMs: 0 };

  /** Of a process that the owner has waited for, and of those that it had waited for. */
  tell({ userMs, systemMs }: Times): void {
    this.#told.userMs += userMs;
    this.#told.systemMs += systemMs;
  }

  /** Of all so far. @param members all that are there now */
  add(members: readonly Member[]): Times {
    const running = new Map(members.map((member) => [member.id, member]));
    for (const [id, { userMs, systemMs }] of this.#running) {
      if (running.has(id)) continue;
      this.#ended.userMs += userMs;
      this.#ended.systemMs += systemMs;
    }
    this.#running = running;
    const sum = (field: "userMs" | "systemMs" | "reapedUserMs" | "reapedSystemMs") =>
      members.reduce((all, member) => all + member[field], 0);
    return {
      userMs: sum("userMs") + Math.max(sum("reapedUserMs") + this.#told.userMs, this.#ended.userMs),
      systemMs: sum("systemMs") + Math.max(sum("reapedSystemMs") + this.#told.systemMs, this.#ended.systemMs),
    };
  }
}

/** Supervisors that somebody has stopped. @module */
import { readKernelFile } from "../../syscalls/index.ts";
import type { Home } from "./home.ts";
import { ALIVE } from "./layout.ts";
import type { ContainerRecord } from "./record.ts";

/**
 * One that has got SIGSTOP answers nobody, and does not see that its container ends: who ends that lets it go on.
 * It is init's parent, and has its FIFO open; by now the number of init may be another's.
 */
export function wakeSupervisor(home: Home, id: string): void {
  const { pid = 0 } = home.state.containers.get<ContainerRecord>(id) ?? {};
  const parent = pid > 0 ? Number(/^PPid:\s*(\d+)$/m.exec(statusOf(pid))?.[1] ?? 0) : 0;
  if (parent > 1 && /^State:\s*T/m.test(statusOf(parent)) && holds(parent, `${home.path(id)}/${ALIVE}`))
    process.kill(parent, "SIGCONT");
}

/** @see proc_pid_status(5) */
const statusOf = (pid: number): string => readKernelFile(`/proc/${pid}/status`) ?? "";

function holds(pid: number, path: string): boolean {
  const { readdirSync, statSync } = process.getBuiltinModule("node:fs");
  const identity = (file: string) => {
    const { dev, ino } = statSync(file);
    return `${dev}:${ino}`;
  };
  try {
    const wanted = identity(path);
    return readdirSync(`/proc/${pid}/fd`).some((fd) => identity(`/proc/${pid}/fd/${fd}`) === wanted);
  } catch {
    return false; // it has ended, or is another user's
  }
}

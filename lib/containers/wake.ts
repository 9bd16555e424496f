/** Supervisors that somebody has stopped. @module */
import { readKernelFile, trySyscall } from "../../syscalls/index.ts";
import type { Home } from "./home.ts";
import type { ContainerRecord } from "./record.ts";

const SIGCONT = 18;

/**
 * One that has got SIGSTOP answers nobody, and does not see that its container ends: who ends that lets it go on.
 * It is init's parent. By now the number of init may be another's, whose parent goes on only where it is a supervisor too.
 */
export function wakeSupervisor(home: Home, id: string): void {
  const { pid = 0 } = home.state.containers.get<ContainerRecord>(id) ?? {};
  const parent = pid > 0 ? Number(/^PPid:\s*(\d+)$/m.exec(statusOf(pid))?.[1] ?? 0) : 0;
  if (parent > 1 && /^Name:\s+tsbox-super[^]*^State:\s+T/m.test(statusOf(parent))) trySyscall("kill", parent, SIGCONT);
}

/** @see proc_pid_status(5) */
const statusOf = (pid: number): string => readKernelFile(`/proc/${pid}/status`) ?? "";

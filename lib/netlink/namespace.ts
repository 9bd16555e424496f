/** Work in another network namespace. @see setns(2) @module */
import { Descriptors, O_RDONLY, open, syscall } from "../../syscalls/index.ts";

const CLONE_NEWNET = 0x40000000;

/**
 * This thread is in it meanwhile, so nothing may be awaited; no other code runs on it.
 * @param namespace a descriptor
 */
export function inNetwork<T>(namespace: number, act: () => T): T {
  using opened = new Descriptors();
  const own = opened.add(open("/proc/thread-self/ns/net", O_RDONLY));
  syscall("enter a network namespace", "setns", namespace, CLONE_NEWNET);
  try {
    return act();
  } finally {
    syscall("leave a network namespace", "setns", own, CLONE_NEWNET);
  }
}

/** Network namespaces of containers. @module */
import { close, effectiveUid, O_RDONLY, open } from "../../syscalls/index.ts";
import type { Namespace } from "./devices.ts";

export interface OpenNamespace extends Disposable {
  namespace: Namespace;
  /** Of a process that is in it. */
  pid: number;
}

/** The network namespace of a process. @throws TsboxError `permission_denied`, `file_not_found` where it has ended */
export async function namespaceOf(pid: number): Promise<OpenNamespace> {
  const descriptor = open(`/proc/${pid}/ns/net`, O_RDONLY);
  if (effectiveUid() === 0) return { namespace: descriptor, pid, [Symbol.dispose]: () => close(descriptor) };
  try {
    const { NetworkNamespace } = await import("../netns/index.ts");
    const namespace = await NetworkNamespace.join(descriptor);
    return { namespace, pid, [Symbol.dispose]: () => namespace[Symbol.dispose]() };
  } finally {
    close(descriptor);
  }
}

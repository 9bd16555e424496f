/** Network namespaces of containers. @module */
import { close, effectiveUid, O_RDONLY, open } from "../../syscalls/index.ts";
import type { Namespace } from "./devices.ts";

export interface OpenNamespace extends Disposable {
  namespace: Namespace;
  /** Of a process that is in it. */
  pid: number;
}

/** The network namespace of a process. @throws TsboxError `permission_denied`, `file_not_found` where it has ended */
export const namespaceOf = async (pid: number): Promise<OpenNamespace> =>
  await namespaceAt(open(`/proc/${pid}/ns/net`, O_RDONLY), pid);

/** @param descriptor taken over @param pid of a process that is in it @throws TsboxError `permission_denied` */
export async function namespaceAt(descriptor: number, pid: number): Promise<OpenNamespace> {
  if (effectiveUid() === 0) return { namespace: descriptor, pid, [Symbol.dispose]: () => close(descriptor) };
  try {
    const { NetworkNamespace } = await import("../netns/index.ts");
    const namespace = await NetworkNamespace.join(descriptor);
    return { namespace, pid, [Symbol.dispose]: () => namespace[Symbol.dispose]() };
  } finally {
    close(descriptor);
  }
}

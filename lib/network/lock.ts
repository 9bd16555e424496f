/** One process at a time tells the kernel of networks. @module */
import { Directory, OpenFile, TsboxError } from "../../syscalls/index.ts";
import { storing } from "../state/index.ts";

const LOCK = "networks.lock";
const LOCK_MS = 30_000;
const AGAIN_MS = 2;

/** @throws TsboxError `network_in_use` where another process does not come to an end */
export async function lockNetworks(root: string): Promise<Disposable> {
  const file = openLock(root);
  if (!file) throw new TsboxError("lock the networks: there is no store", { code: "store_unavailable", path: root });
  for (const end = performance.now() + LOCK_MS; !file.tryLock("exclusive");) {
    if (performance.now() > end) {
      release(file);
      throw new TsboxError(`lock the networks: another command has had them for ${LOCK_MS / 1000} s`, {
        code: "network_in_use",
      });
    }
    await new Promise((again) => setTimeout(again, AGAIN_MS));
  }
  return { [Symbol.dispose]: () => release(file) };
}

/** Undefined where another process has it, or there is no store. */
export function tryLockNetworks(root: string): Disposable | undefined {
  const file = openLock(root);
  if (file?.tryLock("exclusive")) return { [Symbol.dispose]: () => release(file) };
  if (file) release(file);
  return undefined;
}

const openLock = (root: string): OpenFile | undefined =>
  storing(() => {
    using directory = Directory.open(root);
    return directory && OpenFile.open(directory, LOCK, { as: "maker" });
  });

function release(file: OpenFile): void {
  file.unlock();
  file[Symbol.dispose]();
}

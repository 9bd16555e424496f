/** One process at a time tells the kernel of networks. @module */
import { Directory, OpenFile, TsboxError } from "../../syscalls/index.ts";
import { storing } from "../state/index.ts";

const LOCK = "networks.lock";
const LOCK_MS = 30_000;
const AGAIN_MS = 2;

/** @throws TsboxError `network_in_use` where another process does not come to an end */
export async function lockNetworks(root: string): Promise<Disposable> {
  const file = storing(() => {
    using directory = Directory.open(root);
    return directory && OpenFile.open(directory, LOCK, { as: "maker" });
  });
  if (!file) throw new TsboxError("lock the networks: there is no store", { code: "store_unavailable", path: root });
  const release = () => {
    file.unlock();
    file[Symbol.dispose]();
  };
  for (const end = performance.now() + LOCK_MS; !file.tryLock("exclusive");) {
    if (performance.now() > end) {
      release();
      throw new TsboxError(`lock the networks: another command has had them for ${LOCK_MS / 1000} s`, {
        code: "network_in_use",
      });
    }
    await new Promise((again) => setTimeout(again, AGAIN_MS));
  }
  return { [Symbol.dispose]: release };
}

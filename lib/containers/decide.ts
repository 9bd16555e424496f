/** Whether tsbox is asked once a container has ended: a file says so, which may change while it runs. @module */
import { TsboxError, type Directory } from "../../syscalls/index.ts";
import type { Executed } from "../sandbox/index.ts";
import { DECIDE } from "./layout.ts";
import { isNetworked } from "./network-options.ts";
import type { ContainerRecord } from "./record.ts";

/** Something is to be done then: it is started again, removed, or gives back what its networks and its volumes have. */
const decides = ({ options, volumes }: ContainerRecord): boolean => {
  const { restart = "no", remove } = options;
  const gives = isNetworked(options) || volumes.some(({ mounted }) => mounted === true);
  return restart !== "no" || remove === true || gives;
};

/** @throws TsboxError `unsupported` where there is nobody who could be asked */
export function markDecision(directory: Directory, record: ContainerRecord, self: Executed | undefined): void {
  if (!decides(record)) return directory.remove(DECIDE);
  if (self) return directory.replace(DECIDE, new Uint8Array());
  throw new TsboxError("start the container: there is no tsbox that could be asked when it has ended", {
    code: "unsupported",
    hint: 'install "tsbox" in a directory of PATH',
  });
}

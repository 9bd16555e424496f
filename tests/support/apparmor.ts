/** A profile of AppArmor's for tests, as the kernel reads it. @module */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Folder } from "./rootfs.ts";

/** Whether there is a kernel here that takes profiles, and a user who may load them. */
export const APPARMOR = (() => {
  try {
    return process.getuid?.() === 0 && readFileSync("/sys/module/apparmor/parameters/enabled", "utf8").startsWith("Y");
  } catch {
    return false;
  }
})();

export const PROFILE = "tsbox-test";

/**
 * What apparmor_parser 5.0 makes of this, and raw deflate of that:
 *
 * ```
 * abi <abi/3.0>,
 * profile tsbox-test flags=(attach_disconnected,mediate_deleted) {
 *   capability, network, umount, mount, signal, ptrace, file,
 *   deny /etc/passwd r,
 * }
 * ```
 */
const POLICY =
  "7VRLTsMwEH1xnF8dWtghcQYkFogdVwEZSEqlqInqCEViAUt23ADu0ovBTOIEufKqAlZ91os/8zL2jCeRKZ6KjVnVa4gIgEzRbOpyVRVIIoXW3NXdeVuYFjJGWemlQSJIh59HKhUa3T7eDmYhEUB8EXZ0MsG9bszVJXnwmFPaQOuHUiN+55MMOLvprqk7BaI3YF23ZVV0bAggreRkEn9uX3qO47GXuJhsPn5sn5F4/O2LV8Ex+fwFNlruQzsedRx0TEw4GcSMOCMqYk4q4fgL+/dDUg50G3uw+iDv9/C334DoTw172r9GRHnJnZVjZ6b6/DGOMJ9WFzjAj9CpE0HziDKY0V0qyjPncLGT4X3BX+xQKdk/xCUoCuWsuDUww/iT4ShHzA8F4Uf6DQ==";

/** Loaded until the end of the block. */
export class LoadedProfile implements Disposable {
  readonly #mount: string;

  constructor(folder: Folder) {
    this.#mount = join(folder.path, "securityfs");
    mkdirSync(this.#mount, { recursive: true });
    Bun.spawnSync(["mount", "-t", "securityfs", "securityfs", this.#mount]);
    writeFileSync(join(this.#mount, "apparmor/.replace"), Bun.inflateSync(Buffer.from(POLICY, "base64")));
  }

  [Symbol.dispose](): void {
    writeFileSync(join(this.#mount, "apparmor/.remove"), PROFILE);
    Bun.spawnSync(["umount", this.#mount]);
  }
}

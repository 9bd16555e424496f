/** Small root filesystems: busybox, two accounts, and what a test adds. @module */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const APPLETS =
  "ash cat chmod chown chroot cp cut dd echo env false grep head hostname id ifconfig kill ln ls mkdir mknod mount mv nohup nproc od pidof printf ps pwd readlink rm sed seq setsid sh sleep sort stat stty sync tail tee test touch tr true tty umount uname usleep wc xargs yes";

/** A directory of a test file's own, gone at the end of its block or by {@link Folder.remove}. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "tsbox-"));

  constructor() {
    // others than its owner look into it as well: root's sandboxes are other users
    chmodSync(this.path, 0o755);
  }

  /** Writes a file, and the directories above it. @returns its path */
  write(name: string, content: string | Uint8Array = "", mode = 0o644): string {
    const path = join(this.path, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    chmodSync(path, mode);
    return path;
  }

  /** Writes a program that has `Sandbox`. @returns its path */
  script(body: string): string {
    const library = join(import.meta.dir, "../../lib/index.ts");
    const text = `import { Sandbox } from ${JSON.stringify(library)};\n${body}\n`;
    return this.write(`script-${Bun.hash(text).toString(36)}.ts`, text);
  }

  directory(name: string, mode = 0o755): string {
    const path = join(this.path, name);
    mkdirSync(path, { recursive: true });
    chmodSync(path, mode);
    return path;
  }

  link(name: string, target: string): string {
    const path = join(this.path, name);
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(target, path);
    return path;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.remove();
  }
}

/** With `/bin/sh` and the like where the machine has busybox, `/tmp`, and the users root and app (1000). */
export function makeRootfs(): Folder {
  const root = new Folder();
  root.directory("tmp", 0o1777);
  root.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n");
  root.write("etc/group", "root:x:0:\nstaff:x:50:app\napp:x:1001:\ndata:x:2000:app,other\n");
  root.directory("bin");
  if (existsSync("/bin/busybox")) {
    copyFileSync("/bin/busybox", join(root.path, "bin/busybox"));
    chmodSync(join(root.path, "bin/busybox"), 0o755);
    for (const applet of APPLETS.split(" ")) root.link(`bin/${applet}`, "busybox");
  }
  return root;
}

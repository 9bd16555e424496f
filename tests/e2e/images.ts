/** The images of the cases, as one archive of `docker save`: the same for every engine. @module */
import { createHash } from "node:crypto";
import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Folder } from "../support/rootfs.ts";

/** busybox, with nothing said but its PATH. */
export const BOX = "e2e.test/box:1";
/** With all that an image can say. */
export const FULL = "e2e.test/full:1";
/** That looks every 300 ms whether there is `/ready`. */
export const HEALTH = "e2e.test/health:1";
/** With a volume, in which there is something. */
export const DATA = "e2e.test/data:1";

const APPLETS =
  "ash cat chmod chown cp cut date dd df echo env expr false find free grep head hostname id kill ln ls md5sum mkdir mkfifo mknod mount mv nproc od pidof printenv printf ps pwd readlink rm rmdir sed seq sh sleep sort stat stty sync tail tar tee test touch tr true tty uname uniq wc yes";

const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const MS = 1_000_000;

const CONFIGS: Record<string, object> = {
  [BOX]: { Env: [PATH], Cmd: ["sh"] },
  [FULL]: {
    Env: [PATH, "A=image", "B=image"],
    Entrypoint: ["echo", "entry"],
    Cmd: ["default"],
    WorkingDir: "/work",
    User: "app",
    Labels: { from: "image", both: "image" },
    ExposedPorts: { "80/tcp": {} },
    StopSignal: "SIGUSR1",
  },
  [HEALTH]: {
    Env: [PATH],
    Cmd: ["sleep", "1000"],
    Healthcheck: {
      Test: ["CMD-SHELL", "echo looked; test -e /ready"],
      Interval: 300 * MS,
      Timeout: 5000 * MS,
      Retries: 2,
    },
  },
  [DATA]: { Env: [PATH], Cmd: ["sleep", "1000"], Volumes: { "/data": {} } },
};

/** @returns the path of the archive */
export function makeArchive(folder: Folder): string {
  const files = folder.directory("image");
  fill(folder);
  const layer = join(folder.path, "archive/layer.tar");
  folder.directory("archive");
  tar("-C", files, "--owner=0", "--group=0", "--numeric-owner", "--sort=name", "-cf", layer, ".");
  const diffId = `sha256:${createHash("sha256").update(readFileSync(layer)).digest("hex")}`;
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const manifest = Object.entries(CONFIGS).map(([name, config], at) => {
    const file = `${at}.json`;
    const whole = { os: "linux", architecture, created: "2025-01-01T00:00:00Z", config };
    folder.write(
      `archive/${file}`,
      JSON.stringify({ ...whole, rootfs: { type: "layers", diff_ids: [diffId] }, history: [{ created_by: "made" }] }),
    );
    return { Config: file, RepoTags: [name], Layers: ["layer.tar"] };
  });
  folder.write("archive/manifest.json", JSON.stringify(manifest));
  const archive = join(folder.path, "images.tar");
  tar("-C", join(folder.path, "archive"), "-cf", archive, ".");
  return archive;
}

function fill(folder: Folder): void {
  folder.directory("image/tmp", 0o1777);
  folder.directory("image/work", 0o777);
  folder.directory("image/home/app", 0o777);
  folder.directory("image/root", 0o700);
  folder.write("image/etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n");
  folder.write("image/etc/group", "root:x:0:\napp:x:1001:\ndata:x:2000:app\n");
  folder.write("image/etc/motd", "hello\n");
  folder.write("image/etc/not-executable", "no program\n");
  folder.write("image/data/from-image", "image\n");
  folder.write("image/bin/busybox");
  copyFileSync("/bin/busybox", join(folder.path, "image/bin/busybox"));
  for (const applet of APPLETS.split(" ")) folder.link(`image/bin/${applet}`, "busybox");
}

function tar(...words: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["tar", ...words], { stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`tar: ${stderr.toString()}`);
}

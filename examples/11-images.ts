/**
 * Images: one is made of an archive, changed in a box, and what was changed becomes another one. It all happens in a
 * store of its own, without a registry: `engine.images.pull("debian:12")`, or `image: "debian:12"` alone, asks one.
 *
 *     bun examples/11-images.ts
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Sandbox, Tsbox } from "../lib/index.ts";

const folder = mkdtempSync(join(tmpdir(), "tsbox-images-"));
const root = join(folder, "store");
using engine = new Tsbox({ root });
try {
  // a root filesystem of one static program, and how it is to be run
  for (const name of ["bin", "dev", "etc", "proc", "sys"]) mkdirSync(join(folder, "rootfs", name), { recursive: true });
  await Bun.write(join(folder, "rootfs/bin/sh"), Bun.file("/bin/busybox"));
  chmodSync(join(folder, "rootfs/bin/sh"), 0o755);
  const tar = await Bun.$`tar -c -C ${folder}/rootfs .`.blob();
  const changes = ['ENTRYPOINT ["sh", "-c"]', 'CMD ["echo $GREETING from an image"]', "ENV GREETING=hello"];
  await engine.images.import(tar, { reference: "small:1", changes });
  for (const { tags } of await engine.images.list()) console.log(tags.join());

  // without a command it is the image's; with one, it stands behind the entry point
  const image = { reference: "small:1", root };
  console.log((await Sandbox.run([], { image })).stdout.trim());
  console.log((await Sandbox.run(["echo $GREETING, $0"], { image, env: { GREETING: "good day" } })).stdout.trim());

  // what is written in a box is a layer over the image
  await using box = await Sandbox.create({ image });
  await box.fs.write("/etc/motd", "written in a box\n");
  for (const { kind, path } of await box.diff()) console.log(kind, path);
  await box.commit("small:2", { message: "a greeting", changes: ['CMD ["read x </etc/motd; echo $x"]'] });
  console.log((await Sandbox.run([], { image: { reference: "small:2", root } })).stdout.trim());
} finally {
  await engine.images.prune({ all: true }); // an ordinary user's layers may be of ids that only tsbox can remove
  rmSync(folder, { recursive: true, force: true });
}

/**
 * Builds: an image of a Dockerfile, and the same one in TypeScript, which finds all of it in the cache. It happens in a
 * store of its own, of nothing but busybox and a directory: `FROM debian:12` asks a registry.
 *
 *     bun examples/13-build.ts
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { image, Sandbox, Tsbox } from "../lib/index.ts";

const folder = mkdtempSync(join(tmpdir(), "tsbox-build-"));
const root = join(folder, "store");
mkdirSync(join(folder, "context"));
await Bun.write(join(folder, "context/busybox"), Bun.file("/bin/busybox"));
await Bun.write(join(folder, "context/names"), "world\nyou\n");
const context = join(folder, "context");

using engine = new Tsbox({ root });
try {
  const dockerfile = `
FROM scratch AS base
COPY --chmod=0755 busybox /bin/sh
ENV PATH=/bin

FROM base AS made
COPY names /
RUN while read name; do echo "hello $name"; done </names >/greetings

FROM base
COPY --from=made /greetings /greetings
CMD ["sh", "-c", "while read line; do echo $line; done </greetings"]
`;
  const built = await engine.build({ dockerfile, context, tags: ["greetings"] });
  console.log("performed:", built.performed, "cached:", built.cached);
  console.log((await Sandbox.run([], { image: { reference: "greetings", root } })).stdout.trim());

  // each call is an instruction, and makes another image of what was there
  const base = image("scratch").copy("busybox", "/bin/sh", { chmod: "0755" }).env({ PATH: "/bin" });
  const made = base
    .copy("names", "/")
    .run('while read name; do echo "hello $name"; done </names >/greetings')
    .as("made");
  const greetings = base
    .copy("/greetings", "/greetings", { from: made })
    .cmd(["sh", "-c", "while read line; do echo $line; done </greetings"]);
  const again = await engine.build({ dockerfile: greetings, context });
  console.log("performed:", again.performed, "the same:", again.id === built.id);

  // what is wrong is told with its place, before anything is done
  await engine.build({ dockerfile: "FROM scratch\nCOPPY a b", context }).catch((error: unknown) => {
    console.log(error instanceof Error && error.message);
  });
} finally {
  await engine.images.prune({ all: true }); // an ordinary user's layers may be of ids that only tsbox can remove
  await engine.pruneBuildCache({ all: true });
  rmSync(folder, { recursive: true, force: true });
}

/** What tests/conformance/run makes of what a suite prints. @module */
import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());

const program = (name: string, prints: string) =>
  folder.write(`validation/${name}/${name}.t`, `#!/bin/sh\n${prints}\n`, 0o755);

test("a program passes where one of its lines does, however many there are, and is skipped where all are, or it plans none", async () => {
  program("long", "echo 1..20000; seq -f 'ok %.0f - a line' 20000");
  program("partly", "echo 1..2; echo ok 1; echo 'ok 2 # SKIP'");
  program("skipped", "echo 1..1; echo 'ok 1 # skip'");
  program("failed", "echo 1..2; echo ok 1; echo not ok 2");
  program("planned", "echo 1..0");
  program("ended", "echo 1..0; exit 1");
  program("silent", "true");
  const run = Bun.spawn([join(import.meta.dir, "conformance/run")], {
    env: {
      PATH: process.env["PATH"],
      RUNTIME: folder.write("runtime", "#!/bin/sh\necho runtime version 1\n", 0o755),
      RUNTIME_TOOLS_SRC: folder.path,
      OUT: join(folder.path, "out"),
    },
    stderr: "inherit",
  });
  expect(await run.stdout.text()).toEndWith("validation: 2 passed, 3 failed, 2 skipped\n");
  expect(await Bun.file(join(folder.path, "out/validation.pass")).text()).toBe("long\npartly\n");
});

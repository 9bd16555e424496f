/**
 * The application that everybody begins with: Node.js, a package of npm's, a server. Built over a base image of this
 * machine's Node.js, with a mirror of npm on a loopback interface of the test's own, run, and asked for a page.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { Images } from "../lib/images/index.ts";
import { CommandLine } from "./support/command-line.ts";
import { noNetworks, notRoot } from "./support/machine.ts";
import { runHere, World } from "./support/network-world.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const [NODE, NPM] = [Bun.which("node"), Bun.which("npm")];
const noNode = notRoot ?? (NODE && NPM ? undefined : "node or npm is not installed") ?? noNetworks();

const MIRROR = "127.0.0.1:4873";
const DOCKERFILE = `FROM node
WORKDIR /usr/src/app
COPY package.json ./
RUN npm install
COPY . .
EXPOSE 3000
CMD ["node", "index.js"]
`;

/** Node.js as it is here, with all that it is linked to, and npm. */
function addNode(rootfs: Folder): void {
  const [node, npm] = [NODE, NPM].map((path) => realpathSync(path as string)) as [string, string];
  const linked = Bun.spawnSync(["ldd", node]).stdout.toString();
  const libraries = [...linked.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] as string);
  for (const path of libraries) cpSync(realpathSync(path), join(rootfs.path, path), { recursive: true });
  cpSync(node, join(rootfs.path, "usr/bin/node"));
  const home = dirname(dirname(npm));
  cpSync(home, join(rootfs.path, home), { recursive: true });
  rootfs.link("usr/bin/npm", npm);
  rootfs.link("usr/bin/env", "/bin/busybox");
}

/** One package, as a registry has it. */
function makeMirror(folder: Folder): string {
  folder.write("source/package/package.json", JSON.stringify({ name: "greeter", version: "1.0.0", main: "index.js" }));
  folder.write("source/package/index.js", "module.exports = (name) => `hello ${name}`;");
  const mirror = folder.directory("mirror");
  const tarball = join(mirror, "greeter-1.0.0.tgz");
  Bun.spawnSync(["tar", "-czf", tarball, "-C", join(folder.path, "source"), "package"]);
  const dist = { tarball: `http://${MIRROR}/greeter-1.0.0.tgz` };
  const version = { name: "greeter", version: "1.0.0", main: "index.js", dist };
  const about = { name: "greeter", "dist-tags": { latest: "1.0.0" }, versions: { "1.0.0": version } };
  folder.write("mirror/greeter", JSON.stringify(about));
  return mirror;
}

describe.skipIf(noNode !== undefined)(
  noNode === undefined ? "a Node.js application" : `a Node.js application (${noNode})`,
  () => {
    let folder: Folder;
    let world: World;
    let made: CommandLine;
    let mirror: Bun.Subprocess | undefined;
    beforeAll(async () => {
      folder = new Folder();
      world = new World();
      made = await CommandLine.open();
      using rootfs = makeRootfs();
      addNode(rootfs);
      const archive = join(folder.path, "node.tar");
      Bun.spawnSync(["tar", "--owner=0", "--group=0", "-cf", archive, "-C", rootfs.path, "."]);
      using images = new Images(made.root);
      await images.import(archive, { reference: "node", changes: [`ENV NPM_CONFIG_REGISTRY=http://${MIRROR}/`] });
      const files = makeMirror(folder);
      mirror = Bun.spawn(["busybox", "httpd", "-f", "-p", MIRROR, "-h", files], {
        stdio: ["ignore", "ignore", "inherit"],
      });
      folder.write("app/Dockerfile", DOCKERFILE);
      folder.write("app/.dockerignore", "node_modules\n");
      folder.write(
        "app/package.json",
        JSON.stringify({ name: "app", version: "1.0.0", dependencies: { greeter: "^1.0.0" } }),
      );
      folder.write(
        "app/index.js",
        'const greet = require("greeter"); require("http").createServer((_, answer) => answer.end(greet("tsbox"))).listen(3000);',
      );
      folder.write("app/node_modules/greeter/index.js", "module.exports = () => 'of the host';");
    }, 60_000);
    afterAll(async () => {
      mirror?.kill();
      await mirror?.exited;
      await made?.[Symbol.asyncDispose]();
      world?.[Symbol.dispose]();
      folder.remove();
    });

    test("is built, runs, and answers over a published port", async () => {
      const context = join(folder.path, "app");
      made.said("build", "-q", "-t", "app", "--network", "host", context);
      made.said("run", "-d", "--name", "app", "-p", "8080:3000", "app");
      let answer = "";
      for (let tries = 0; tries < 200 && answer === ""; tries++, await Bun.sleep(50)) {
        try {
          answer = runHere("busybox", "wget", "-qO-", "http://127.0.0.1:8080/");
        } catch {
          // it does not listen yet
        }
      }
      expect(answer).toBe("hello tsbox");
      // what is not changed is not done again: npm is not asked
      mirror?.kill();
      folder.write("app/index.js", "console.log(require('greeter')('again'));");
      made.said("build", "-q", "-t", "app", "--network", "host", context);
      expect(made.said("run", "--rm", "app")).toBe("hello again");
      made.said("rm", "-f", "app");
    }, 60_000);

    test("reaches servers of other machines while it is built, and not the host's own", async () => {
      using neighbour = world.neighbour(["10.9.0.1/24"], ["10.9.0.2/24"]);
      const files = folder.directory("served");
      folder.write("served/page", "served");
      neighbour.start("busybox", "httpd", "-f", "-p", "80", "-h", files);
      const own = Bun.spawn(["busybox", "httpd", "-f", "-p", "127.0.0.1:4874", "-h", files]);
      const code = 'fetch(process.argv[1]).then((r) => r.text(), () => "no").then(console.log)';
      const ask = ["10.9.0.2", "127.0.0.1:4874", "localhost:4874"].map(
        (host) => `node -e '${code}' http://${host}/page`,
      );
      folder.write("asking/Dockerfile", `FROM node\nRUN (${ask.join("; ")}) > /answers`);
      const answers = (...flags: string[]) => {
        made.said("build", "-q", "-t", "asking", ...flags, join(folder.path, "asking"));
        return made.said("run", "--rm", "--network", "none", "asking", "cat", "/answers");
      };
      expect(answers()).toBe("served\nno\nno");
      expect(answers("--network", "none")).toBe("no\nno\nno");
      // control: they are there
      expect(answers("--network", "host")).toBe("served\nserved\nserved");
      own.kill();
      await own.exited;
    }, 60_000);
  },
);

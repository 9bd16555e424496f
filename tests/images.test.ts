/** Pull and push, against a real registry, of images that other tools made; and what hostile ones come to. @module */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Tsbox } from "../lib/index.ts";
import type { ImageEvent } from "../lib/images/index.ts";
import { failureOf } from "./support/failure.ts";
import { makeLayout, noImageRegistry, skopeo, storeListing, tool } from "./support/made-images.ts";
import { asRoot, testUnless } from "./support/machine.ts";
import { startRegistry, type TestRegistry } from "./support/registry.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
let registry: TestRegistry;
let layout: string;
/** `127.0.0.1:PORT/team/app` */
let repository: string;

const noPodman = asRoot && existsSync("/usr/bin/podman") ? undefined : "podman as root is not here";

const insecure = { registry: { insecure: true } };
let stores = 0;
const newRoot = () => join(folder.path, `store${stores++}`);

beforeAll(async () => {
  if (noImageRegistry !== undefined) return;
  registry = await startRegistry();
  layout = await makeLayout(folder);
  repository = `${registry.host}/team/app`;
  await skopeo("copy", "--dest-tls-verify=false", `oci:${layout}:image`, `docker://${repository}:1`);
}, 60_000);

afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  // files of other users are not for everybody to remove
  for (let at = 0; at < stores; at++) {
    using engine = new Tsbox({ root: join(folder.path, `store${at}`) });
    await engine.images.prune({ all: true });
  }
  folder.remove();
});

interface Inspection {
  Digest: string;
  Layers: string[];
}
const inspectRemote = async (name: string): Promise<Inspection> =>
  JSON.parse(await skopeo("inspect", "--tls-verify=false", `docker://${name}`)) as Inspection;

const requests = (of: RegExp) =>
  registry
    .log()
    .split("\n")
    .filter((line) => of.test(line)).length;

describe("an image is pulled", () => {
  const root = newRoot();
  testUnless(noImageRegistry, "verified, unpacked, and named", async () => {
    using engine = new Tsbox({ root });
    const events: ImageEvent[] = [];
    const name = `${repository}:1`;
    const pulled = await engine.images.pull(name, { ...insecure, onProgress: (event) => void events.push(event) });
    const remote = await inspectRemote(name);
    expect(pulled).toMatchObject({
      reference: name,
      digest: remote.Digest,
      isCurrent: false,
      platform: { os: "linux" },
    });
    const [image] = await engine.images.list();
    expect(image).toMatchObject({
      tags: [name],
      digests: [`${repository}@${remote.Digest}`],
      labels: { "made.by": "others" },
    });
    // each layer waits, is fetched to its last byte, and is there
    for (const digest of remote.Layers) {
      const own = events.filter((event) => event.type === "layer" && event.digest === digest);
      expect(own.map((event) => (event as { state: string }).state)).toEqual([
        "waiting",
        ...own.slice(1, -1).map(() => "downloading"),
        "complete",
      ]);
      expect(own.at(-2)).toMatchObject({ bytes: statSync(join(root, "oci/blobs/sha256", digest.slice(7))).size });
    }
    expect(events[0]).toEqual({ type: "resolving", reference: name });
    expect(events.at(-1)).toMatchObject({ type: "image", id: pulled.id });
  });

  testUnless(noImageRegistry, "with the files that its layers say", async () => {
    using engine = new Tsbox({ root });
    const { GraphDriver, RootFS, Config } = await engine.images.inspect(`${repository}:1`);
    const [top = "", middle = "", base = ""] = (GraphDriver.Data.LowerDir ?? "").split(":");
    expect(RootFS.Layers.length).toBe(3);
    expect(Config).toMatchObject({
      Cmd: ["run"],
      Entrypoint: ["/bin/sh"],
      User: "7:8",
      Env: expect.arrayContaining(["A=1"]),
    });
    expect(readFileSync(join(base, "bin/busybox")).equals(readFileSync("/bin/busybox"))).toBe(true);
    expect(statSync(join(middle, "srv/hard")).ino).toBe(statSync(join(middle, "srv/big")).ino);
    expect(readFileSync(join(top, "srv/many/only"), "utf8")).toBe("the only one");
    // what no layer says of a directory is what the one below says
    expect(statSync(join(middle, "var/old")).mode & 0o777).toBe(0o755);
    expect(existsSync(join(top, "srv/many/.wh..wh..opq"))).toBe(false);
  });

  testUnless(noImageRegistry, "once: what is there is not fetched again", async () => {
    using engine = new Tsbox({ root });
    const before = storeListing(root);
    const fetched = requests(/GET \/v2\/team\/app\/blobs/);
    const states: string[] = [];
    const onProgress = (event: ImageEvent) => void (event.type === "layer" && states.push(event.state));
    const pulled = await engine.images.pull(`${repository}:1`, { ...insecure, onProgress });
    expect(pulled.isCurrent).toBe(true);
    expect(states).toEqual(["exists", "exists", "exists"]);
    expect(requests(/GET \/v2\/team\/app\/blobs/)).toBe(fetched);
    expect(storeListing(root)).toEqual(before);
  });

  testUnless(noImageRegistry, "and skopeo and umoci read the store", async () => {
    const remote = await inspectRemote(`${repository}:1`);
    const local = JSON.parse(await skopeo("inspect", `oci:${root}/oci:${repository}:1`)) as Inspection;
    expect(local.Digest).toBe(remote.Digest);
    expect(await tool("umoci", "ls", "--layout", join(root, "oci"))).toContain(`${repository}:1\n`);
  });

  testUnless(noImageRegistry, "by its digest, under that name alone", async () => {
    using engine = new Tsbox({ root: newRoot() });
    const { Digest } = await inspectRemote(`${repository}:1`);
    await engine.images.pull(`${repository}@${Digest}`, insecure);
    expect((await engine.images.list())[0]).toMatchObject({ tags: [], digests: [`${repository}@${Digest}`] });
    expect(await engine.images.exists(`${repository}@${Digest}`)).toBe(true);
    expect(await engine.images.exists(`${repository}:1`)).toBe(false);
  });
});

describe("an image is pushed", () => {
  testUnless(noImageRegistry, "as it was: the digests agree", async () => {
    using engine = new Tsbox({ root: newRoot() });
    await engine.images.pull(`${repository}:1`, insecure);
    await engine.images.tag(`${repository}:1`, `${registry.host}/other/name:2`);
    const states: string[] = [];
    const onProgress = (event: ImageEvent) => void (event.type === "layer" && states.push(event.state));
    const pushed = await engine.images.push(`${registry.host}/other/name:2`, { ...insecure, onProgress });
    const remote = await inspectRemote(`${repository}:1`);
    expect(pushed).toMatchObject({ digest: remote.Digest });
    expect(await inspectRemote(`${registry.host}/other/name:2`)).toMatchObject({
      Digest: remote.Digest,
      Layers: remote.Layers,
    });
    // the registry has the layers in the other repository
    expect(states.filter((state) => state === "mounted").length).toBe(3);
    // a second time nothing is sent
    states.length = 0;
    await engine.images.push(`${registry.host}/other/name:2`, { ...insecure, onProgress });
    expect(states.filter((state) => state !== "waiting")).toEqual(["exists", "exists", "exists"]);
  });
});

describe("images as archives", () => {
  const root = newRoot();
  const archive = (name: string) => join(folder.path, name);
  const save = async (engine: Tsbox, names: string[], file: string, format?: "docker" | "oci") =>
    void (await Bun.write(archive(file), new Response(await engine.images.save(names, format ? { format } : {}))));

  testUnless(noImageRegistry, "are loaded as skopeo wrote them, with the same id and the same manifest", async () => {
    using engine = new Tsbox({ root });
    const { Digest } = await inspectRemote(`${repository}:1`);
    const config = JSON.parse(await skopeo("inspect", "--raw", `oci:${layout}:image`)) as {
      config: { digest: string };
    };
    await skopeo("copy", `oci:${layout}:image`, `oci-archive:${archive("oci.tar")}:made/elsewhere:1`);
    const [loaded] = await engine.images.load(archive("oci.tar"));
    expect(loaded).toEqual({ id: config.config.digest as `sha256:${string}`, names: ["made/elsewhere:1"] });
    expect((await engine.images.inspect("made/elsewhere:1")).Descriptor.digest).toBe(Digest as `sha256:${string}`);
  });

  testUnless(noImageRegistry, "of Docker's kind, packed or in pieces, add names to what is there", async () => {
    using engine = new Tsbox({ root });
    await skopeo("copy", `oci:${layout}:image`, `docker-archive:${archive("docker.tar")}:made/elsewhere:2`);
    const before = storeListing(root).filter((line) => line.includes("blobs/"));
    const [plain] = await engine.images.load(archive("docker.tar"));
    expect(plain?.names).toEqual(["made/elsewhere:2"]);
    const packed = Bun.zstdCompressSync(readFileSync(archive("docker.tar")));
    expect(await engine.images.load(new Blob([packed]).stream())).toEqual([plain as NonNullable<typeof plain>]);
    expect(storeListing(root).filter((line) => line.includes("blobs/"))).toEqual(before);
    expect((await engine.images.list()).map(({ tags }) => tags)).toEqual([["made/elsewhere:1", "made/elsewhere:2"]]);
  });

  testUnless(noImageRegistry, "of Docker's kind are whole without anything else", async () => {
    using engine = new Tsbox({ root: newRoot() });
    const [loaded] = await engine.images.load(archive("docker.tar"));
    const { RootFS, GraphDriver } = await engine.images.inspect(loaded?.id as string);
    const remote = JSON.parse(await skopeo("inspect", "--config", `oci:${layout}:image`)) as {
      rootfs: { diff_ids: string[] };
    };
    expect(RootFS.Layers).toEqual(remote.rootfs.diff_ids as never);
    expect(GraphDriver.Data.LowerDir?.split(":").length).toBe(3);
  });

  testUnless(noImageRegistry, "are saved for Docker, Podman and skopeo", async () => {
    using engine = new Tsbox({ root });
    await save(engine, ["made/elsewhere"], "saved.tar");
    expect((await tool("tar", "-tf", archive("saved.tar"))).split("\n").slice(0, 4)).toEqual([
      "oci-layout",
      "index.json",
      "manifest.json",
      "repositories",
    ]);
    const { Digest } = await inspectRemote(`${repository}:1`);
    const asOci = JSON.parse(
      await skopeo("inspect", `oci-archive:${archive("saved.tar")}:docker.io/made/elsewhere:2`),
    ) as Inspection;
    expect(asOci.Digest).toBe(Digest);
    // as docker load reads it: by manifest.json, and every layer compared with its diffId
    const copied = archive("copied");
    await skopeo("copy", `docker-archive:${archive("saved.tar")}:made/elsewhere:1`, `dir:${copied}`);
    expect(await skopeo("inspect", "--config", `dir:${copied}`)).toBe(
      await skopeo("inspect", "--config", `oci:${layout}:image`),
    );
    // always the same bytes
    await save(engine, ["made/elsewhere"], "again.tar");
    expect(readFileSync(archive("again.tar")).equals(readFileSync(archive("saved.tar")))).toBe(true);
  });

  testUnless(noImageRegistry, "come back from both formats as they were", async () => {
    using engine = new Tsbox({ root });
    const before = await engine.images.list();
    for (const format of ["docker", "oci"] as const) {
      await save(engine, ["made/elsewhere:1", "made/elsewhere:2"], `${format}-saved.tar`, format);
      using other = new Tsbox({ root: newRoot() });
      await other.images.load(archive(`${format}-saved.tar`));
      expect(await other.images.list()).toEqual(before);
    }
  });
});

describe("images are made", () => {
  const root = newRoot();
  const tree = folder.directory("tree");

  testUnless(noImageRegistry, "of an archive of a file system", async () => {
    folder.write("tree/bin/busybox", readFileSync("/bin/busybox"), 0o755);
    folder.write("tree/etc/hello", "hello");
    await tool("tar", "-C", tree, "-cf", `${tree}.tar`, ".");
    using engine = new Tsbox({ root });
    const made = await engine.images.import(new Blob([Bun.gzipSync(readFileSync(`${tree}.tar`))]).stream(), {
      reference: "imported",
      changes: ['CMD ["/bin/busybox", "cat", "/etc/hello"]', "ENV A=1 B=$A", "EXPOSE 80"],
      message: "from a test",
    });
    expect(made.names).toEqual(["imported:latest"]);
    const { Config, RootFS } = await engine.images.inspect("imported");
    expect(Config).toEqual({
      Cmd: ["/bin/busybox", "cat", "/etc/hello"],
      Env: ["A=1", "B="],
      ExposedPorts: { "80/tcp": {} },
    });
    expect(RootFS.Layers).toEqual([
      `sha256:${new Bun.CryptoHasher("sha256").update(readFileSync(`${tree}.tar`)).digest("hex")}`,
    ]);
    expect(await engine.images.history("imported")).toMatchObject([
      { comment: "from a test", names: ["imported:latest"] },
    ]);
  });

  testUnless(noImageRegistry, "of a file by its path, of a pipe's, and of none", async () => {
    await tool("tar", "-C", folder.directory("paths"), "-cf", join(folder.path, "paths.tar"), ".");
    await tool("mkfifo", join(folder.path, "paths.fifo"));
    using engine = new Tsbox({ root });
    const ofFile = await engine.images.import(join(folder.path, "paths.tar"), { reference: "paths:file" });
    const [ofPipe] = await Promise.all([
      engine.images.import(join(folder.path, "paths.fifo"), { reference: "paths:pipe" }),
      tool("dd", "status=none", `if=${join(folder.path, "paths.tar")}`, `of=${join(folder.path, "paths.fifo")}`),
    ]);
    const layers = async (name: string) => (await engine.images.inspect(name)).RootFS.Layers;
    expect(await layers(ofPipe.names[0] as string)).toEqual(await layers(ofFile.names[0] as string));
    expect(await failureOf(() => engine.images.import(join(folder.path, "paths.none")))).toMatchObject({
      code: "file_not_found",
    });
    expect(await failureOf(() => engine.images.import(join(folder.path, "paths")))).toMatchObject({
      code: "system",
      errno: 21,
    });
  });

  testUnless(noImageRegistry, "of what has changed over another", async () => {
    const upper = folder.directory("upper");
    folder.write("upper/etc/new", "new");
    using engine = new Tsbox({ root });
    const made = await engine.images.commit("imported", upper, {
      reference: "changed:1",
      author: "somebody",
      message: "a change",
      createdBy: "sh",
      changes: ["USER 5"],
    });
    const { Config, Author, RootFS, GraphDriver } = await engine.images.inspect(made.id);
    expect([Config.User, Config.Cmd, Author, RootFS.Layers.length]).toEqual([
      "5",
      ["/bin/busybox", "cat", "/etc/hello"],
      "somebody",
      2,
    ]);
    const [top = ""] = (GraphDriver.Data.LowerDir ?? "").split(":");
    expect(readFileSync(join(top, "etc/new"), "utf8")).toBe("new");
    expect((await engine.images.history("changed:1"))[0]).toMatchObject({
      createdBy: "sh",
      comment: "a change",
      author: "somebody",
    });
  });

  testUnless(noImageRegistry, "but under no digest, which nobody can give", async () => {
    using engine = new Tsbox({ root });
    const reference = `imported@sha256:${"0".repeat(64)}`;
    const refused = [
      () => engine.images.import(`${tree}.tar`, { reference }),
      () => engine.images.commit("imported", folder.directory("upper"), { reference }),
      () => engine.images.tag("imported", reference),
    ];
    for (const attempt of refused) expect((await failureOf(attempt)).code).toBe("reference_invalid");
  });

  testUnless(noImageRegistry, "and nothing that has changed is no layer", async () => {
    using engine = new Tsbox({ root });
    await engine.images.commit("changed:1", folder.directory("nothing"), {
      reference: "changed:2",
      changes: ["LABEL a=b"],
    });
    const { RootFS, Config } = await engine.images.inspect("changed:2");
    expect([RootFS.Layers.length, Config.Labels]).toEqual([2, { a: "b" }]);
    expect((await engine.images.history("changed:2")).map(({ sizeBytes }) => sizeBytes > 0)).toEqual([
      false,
      true,
      true,
    ]);
  });

  testUnless(noImageRegistry, "with plain layers, which are packed when they are pushed", async () => {
    using engine = new Tsbox({ root });
    const name = `${registry.host}/made/here:1`;
    await engine.images.tag("changed:1", name);
    const { id } = (await engine.images.list({ reference: ["changed:1"] }))[0] as { id: string };
    const pushed = await engine.images.push(name, insecure);
    const raw = JSON.parse(await skopeo("inspect", "--tls-verify=false", "--raw", `docker://${name}`)) as {
      config: { digest: string };
      layers: { mediaType: string }[];
    };
    expect(raw.layers.map(({ mediaType }) => mediaType)).toEqual(
      Array(2).fill("application/vnd.oci.image.layer.v1.tar+gzip"),
    );
    expect(raw.config.digest).toBe(id);
    // the name leads to what was pushed, so that a second push has nothing to do
    expect((await engine.images.inspect(name)).Descriptor.digest).toBe(pushed.digest);
    // whoever pulls it verifies all digests
    const target = join(folder.path, "pulled");
    await skopeo("copy", "--src-tls-verify=false", `docker://${name}`, `oci:${target}:x`);
    expect((JSON.parse(await skopeo("inspect", `oci:${target}:x`)) as Inspection).Digest).toBe(pushed.digest);
  });
});

describe("images go", () => {
  const root = newRoot();
  const digests = (name: string) => storeListing(root).filter((line) => line.startsWith(name)).length;

  testUnless(
    noImageRegistry,
    "a name alone while there are others, and all that is theirs with the last one",
    async () => {
      using engine = new Tsbox({ root });
      const { id, digest } = await engine.images.pull(`${repository}:1`, insecure);
      await engine.images.tag(`${repository}:1`, "local");
      const before = storeListing(root);
      expect(await engine.images.remove(`${repository}:1`)).toEqual({
        untagged: [`${repository}:1`, `${repository}@${digest}`],
        deleted: [],
        freedBytes: 0,
      });
      expect((await engine.images.list()).map(({ tags }) => tags)).toEqual([["local:latest"]]);
      expect(digests("oci/blobs/sha256/")).toBe(before.filter((line) => line.startsWith("oci/blobs/sha256/")).length);
      const gone = await engine.images.remove("local");
      expect([gone.untagged, gone.deleted[0], gone.deleted.length]).toEqual([["local:latest"], id, 4]);
      expect(gone.freedBytes).toBeGreaterThan(2_000_000);
      expect([digests("oci/blobs/sha256/"), digests("layers/")]).toEqual([1, 1]);
      expect((await failureOf(() => engine.images.remove("local"))).code).toBe("image_not_found");
    },
  );

  testUnless(noImageRegistry, "an id with names in several repositories only when forced", async () => {
    using engine = new Tsbox({ root });
    const { id } = await engine.images.pull(`${repository}:1`, insecure);
    await engine.images.tag(id, "local:1");
    const failure = await failureOf(() => engine.images.remove(id.slice(7, 19)));
    expect([failure.code, (await engine.images.list()).length]).toEqual(["image_in_use", 1]);
    expect((await engine.images.remove(id.slice(7, 19), { force: true })).deleted[0]).toBe(id);
    expect(await engine.images.list()).toEqual([]);
  });

  testUnless(noImageRegistry, "those without a name, when they are pruned, or all", async () => {
    using engine = new Tsbox({ root });
    await engine.images.pull(`${repository}:1`, insecure);
    const [loaded] = await engine.images.load(join(folder.path, "docker.tar"));
    await engine.images.commit(loaded?.id, folder.directory("empty"), { reference: "moved:1", changes: ["LABEL n=1"] });
    await engine.images.commit(loaded?.id, folder.directory("empty"), { reference: "moved:1", changes: ["LABEL n=2"] });
    expect((await engine.images.list({ dangling: true })).length).toBe(1);
    expect((await engine.images.prune({ notLabel: ["n"] })).deleted).toEqual([]);
    const { images, active, sizeBytes, reclaimableBytes } = await engine.images.diskUsage();
    expect([images, active, sizeBytes]).toEqual([3, 0, reclaimableBytes]);
    expect((await engine.images.prune()).deleted.length).toBe(1);
    expect((await engine.images.list()).length).toBe(2);
    expect((await engine.images.prune({ all: true })).untagged).toContain("moved:1");
    expect([digests("oci/blobs/sha256/"), digests("layers/")]).toEqual([1, 1]);
  });
});

describe("others", () => {
  testUnless(noImageRegistry, "see Docker's types as they came, and run what was pushed", async () => {
    const name = `${registry.host}/docker/types:1`;
    await skopeo("copy", "--dest-tls-verify=false", "--format=v2s2", `oci:${layout}:image`, `docker://${name}`);
    using engine = new Tsbox({ root: newRoot() });
    await engine.images.pull(name, insecure);
    const { Descriptor, Manifest } = await engine.images.inspect(name);
    expect(Descriptor.mediaType).toBe("application/vnd.docker.distribution.manifest.v2+json");
    expect(Manifest.layers[0]?.mediaType).toBe("application/vnd.docker.image.rootfs.diff.tar.gzip");
    const pushed = `${registry.host}/docker/pushed:1`;
    await engine.images.tag(name, pushed);
    expect((await engine.images.push(pushed, insecure)).digest).toBe(Descriptor.digest);
    expect(Descriptor.digest).toBe((await inspectRemote(pushed)).Digest as never);
  });

  testUnless(noImageRegistry ?? noPodman, "podman runs what was pushed", async () => {
    using engine = new Tsbox({ root: newRoot() });
    folder.write("greeting/etc/greeting", "from a commit");
    await engine.images.pull(`${repository}:1`, insecure);
    const name = `${registry.host}/for/podman:1`;
    await engine.images.commit(`${repository}:1`, join(folder.path, "greeting"), {
      reference: name,
      changes: ['ENTRYPOINT ["/bin/cat", "/etc/greeting"]'],
    });
    const { digest } = await engine.images.push(name, insecure);
    const places = [
      "--root",
      join(folder.path, "podman"),
      "--runroot",
      join(folder.path, "podman-run"),
      "--storage-driver=vfs",
    ];
    await tool("podman", ...places, "pull", "-q", "--tls-verify=false", name);
    const shown = await tool("podman", ...places, "image", "inspect", "--format", "{{.Digest}}", name);
    expect(shown.trim()).toBe(digest);
    const mounted = (await tool("podman", ...places, "image", "mount", name)).trim();
    expect(readFileSync(join(mounted, "etc/greeting"), "utf8")).toBe("from a commit");
    expect([existsSync(join(mounted, "etc/gone")), existsSync(join(mounted, "srv/many/only"))]).toEqual([false, true]);
    await tool("podman", ...places, "image", "umount", "-a");
    await tool("podman", ...places, "rmi", "-f", name);
  });
});

/** Images in TypeScript: what they come to as a Dockerfile. @module */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { expandInstruction, scriptOf, type Instruction, type InstructionOf } from "../lib/dockerfile/index.ts";
import { image, type ImageBuilder } from "../lib/image-builder/index.ts";
import { TsboxError } from "../syscalls/index.ts";

test("each call is an instruction", () => {
  const app = image("debian:bookworm", { platform: "linux/amd64" })
    .arg("V", "1 2")
    .arg("W")
    .env({ PATH: "/x:$PATH", B: 'a "b" c', C: "" })
    .label({ "a b": "c" })
    .shell(["bash", "-c"])
    .run("make && make install")
    .run(["make", "x y"], { network: "none", security: "sandbox" })
    .run("cat /run/secrets/s", {
      mounts: [
        { type: "secret", id: "s" },
        { type: "cache", target: "/a,b", readOnly: false, uid: 5 },
      ],
    })
    .run("a\nb")
    .copy("src", "/app")
    .copy(["a b", "c*"], "/d/", { chown: "u:g", chmod: "0644", link: true, parents: true, exclude: ["*.o"] })
    .add("https://example.org/x", "/", { checksum: "sha256:1", unpack: false, keepGitDir: true })
    .file("/etc/x", "EOF\n$y", { chmod: "0600" })
    .workdir("/a b")
    .user("u")
    .volume("/v", "/w x")
    .expose(80, "53/udp")
    .stopSignal("SIGINT")
    .healthcheck("curl x", { interval: "30s", timeout: "1s", startPeriod: "2s", startInterval: "3s", retries: 4 })
    .healthcheck("none")
    .onbuild("RUN z")
    .entrypoint(["node"])
    .cmd("a b");
  expect(String(app)).toBe(`FROM --platform=linux/amd64 debian:bookworm
ARG V="1 2"
ARG W
ENV PATH=/x:$PATH B="a \\"b\\" c" C=""
LABEL "a b"=c
SHELL ["bash", "-c"]
RUN make && make install
RUN --network=none --security=sandbox ["make", "x y"]
RUN --mount=type=secret,id=s --mount=type=cache,\\"target=/a,b\\",uid=5,readonly=false cat /run/secrets/s
RUN <<'EOF'
a
b
EOF
COPY src /app
COPY --chown=u:g --chmod=0644 --link --parents --exclude=*.o ["a b", "c*", "/d/"]
ADD --checksum=sha256:1 --keep-git-dir --unpack=false https://example.org/x /
COPY --chmod=0600 <<'EOF1' /etc/x
EOF
$y
EOF1
WORKDIR /a b
USER u
VOLUME ["/v", "/w x"]
EXPOSE 80 53/udp
STOPSIGNAL SIGINT
HEALTHCHECK --interval=30s --timeout=1s --start-period=2s --start-interval=3s --retries=4 CMD curl x
HEALTHCHECK NONE
ONBUILD RUN z
ENTRYPOINT ["node"]
CMD a b
`);
  expect(app.dockerfile().stages[0]?.instructions.length).toBe(23);
});

test("images that it takes files of are stages before it", () => {
  const base = image("debian").run("a");
  const built = base.run("b");
  const named = image("scratch").as("tools").copy("x", "/", { from: "busybox" });
  const app = image(base)
    .copy("/out", "/", { from: built })
    .copy("/x", "/", { from: named })
    .run("c", { mounts: [{ from: built, target: "/m" }] })
    .as("app");
  expect(String(app)).toBe(`FROM debian AS stage-0
RUN a

FROM debian AS stage-1
RUN a
RUN b

FROM scratch AS tools
COPY --from=busybox x /

FROM stage-0 AS app
COPY --from=stage-1 /out /
COPY --from=tools /x /
RUN --mount=target=/m,from=stage-1 c
`);
  // nothing of it has changed
  expect(String(base)).toBe("FROM debian\nRUN a\n");
});

test.each<[string, () => ImageBuilder, string]>([
  ["a name of no image", () => image("a b"), "reference_invalid"],
  ["an instruction by its name", () => image("a").onbuild("FROM b"), "dockerfile_invalid"],
  ["no command", () => image("a").run(""), "dockerfile_invalid"],
  ["another instruction in a value", () => image("a").user("b\nRUN c"), "invalid_option"],
  ["another instruction in a variable", () => image("a").env({ A: "b\nRUN c" }), "invalid_option"],
  ["another instruction in a name", () => image("a").env({ "A\nRUN c": "b" }), "invalid_option"],
  ["a name with =", () => image("a").label({ "b=c": "d" }), "invalid_option"],
  ["another instruction in a flag", () => image("a").copy("b", "c", { chown: "d\nRUN e" }), "invalid_option"],
  ["another instruction in a command", () => image("a").cmd("b\nRUN c"), "invalid_option"],
  ["a command that the next line would belong to", () => image("a").cmd("b \\"), "invalid_option"],
  ["a path of a file with a blank", () => image("a").file("/b c", ""), "invalid_option"],
  ["no user", () => image("a").user(""), "dockerfile_invalid"],
  ["another instruction in the name of a stage", () => image("a").as("b\nRUN c"), "invalid_option"],
  ["a name that no stage has", () => image("a").as("b c"), "dockerfile_invalid"],
  ["another instruction for later", () => image("a").onbuild("RUN b\nRUN c"), "dockerfile_invalid"],
  ["another instruction in the name of an image", () => image("a\nRUN b"), "reference_invalid"],
  ["another instruction in a platform", () => image("a", { platform: "b\nRUN c" }).as("d"), "invalid_option"],
  ["an unknown flag's value", () => image("a").healthcheck("b", { interval: "soon" }), "dockerfile_invalid"],
])("%s is refused where it is written", (_, make, code) => {
  expect(make).toThrow(TsboxError);
  try {
    make();
  } catch (error) {
    expect((error as TsboxError).code).toBe(code as TsboxError["code"]);
  }
});

test("two stages of one name are refused", () => {
  const [one, two] = [image("a").as("x"), image("b").as("x")];
  expect(() => String(image("c").copy("d", "e", { from: one }).copy("d", "e", { from: two }))).toThrow('called "x"');
});

test("an option that is misspelt is refused", () => {
  const from = image("scratch");
  const bad = (options: object) => options as never;
  for (const [verb, made] of [
    ["run", (options) => from.run("x", options)],
    ["copy", (options) => from.copy("a", "b", options)],
    ["add", (options) => from.add("a", "b", options)],
    ["file", (options) => from.file("/a", "b", options)],
    ["healthcheck", (options) => from.healthcheck("x", options)],
    ["image", (options) => image("scratch", options)],
  ] as [string, (options: never) => unknown][])
    expect(() => made(bad({ colour: "red" }))).toThrow(`use the option "colour" of ${verb}: unknown`);
});

/** What the only instruction comes to, once variables are expanded: there are none. */
function only<Name extends Instruction["name"]>(made: ImageBuilder): InstructionOf<Name> {
  const dockerfile = made.dockerfile();
  const [instruction, ...more] = dockerfile.stages[0]?.instructions ?? [];
  expect(more).toEqual([]);
  return expandInstruction(instruction as InstructionOf<Name>, () => undefined, dockerfile);
}

test("whatever is given comes out again", () => {
  const value = fc.string({ unit: fc.constantFrom(..."ab \"'\\`,=[]{}#<-\té") }).map((text) => text.trim());
  const some = value.filter((text) => text !== "");
  const plain = (text: string) => !/[\s"'\\[<]/.test(text);
  fc.assert(
    fc.property(some, value, (name, text) => {
      const from = image("scratch");
      if (!name.includes("=")) expect(only<"ENV">(from.env({ [name]: text })).pairs).toEqual([[name, text]]);
      expect(only<"WORKDIR">(from.workdir(name)).value).toBe(name);
      expect(only<"VOLUME">(from.volume(name)).values).toEqual([name]);
      const { sources, destination, flags } = only<"COPY">(
        from.copy(name, `/${text}`, { chown: text, exclude: [name] }),
      );
      expect([sources, destination, flags.chown, flags.exclude]).toEqual([[name], `/${text}`, text, [name]]);
      const [mount] = only<"RUN">(from.run("x", { mounts: [{ type: "cache", target: name, id: text }] })).mounts;
      expect([mount?.target, mount?.id]).toEqual([name, text]);
      if (plain(name))
        expect(only<"COPY">(from.file(`/${name}`, `${text}\n`)).hereDocuments[0]?.content).toBe(`${text}\n`);
      const { command } = only<"RUN">(from.run(`${name}\n${text}x`));
      const script = command.form === "shell" ? scriptOf(command) : undefined;
      expect(script?.kind === "file" ? script.content : script?.text).toBe(`${name}\n${text}x\n`);
      expect(only<"CMD">(from.cmd([name, text])).command).toEqual({ form: "exec", args: [name, text] });
    }),
    { numRuns: 500 },
  );
});

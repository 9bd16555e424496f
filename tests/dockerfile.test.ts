/** Dockerfiles: text to instructions, variables, and what is said where they are wrong. @module */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  expand,
  expandInstruction,
  expandWords,
  parseDockerfile,
  parseInstruction,
  scriptOf,
  type Instruction,
} from "../lib/dockerfile/index.ts";
import { TsboxError } from "../syscalls/index.ts";

const FILE = "Dockerfile";

/** What the instructions behind `FROM scratch` say, without where and how. */
const said = (text: string) => (parseDockerfile(`FROM scratch\n${text}`, FILE).stages[0]?.instructions ?? []).map(bare);

function bare(instruction: Instruction): object {
  const { place: _place, text: _text, ...says } = instruction;
  return says.name === "ONBUILD" ? { ...says, instruction: bare(says.instruction) } : says;
}

const shell = (text: string, hereDocuments: object[] = []) => ({ form: "shell", text, hereDocuments });
const exec = (...args: string[]) => ({ form: "exec", args });
const NO_FLAGS = { link: false, exclude: [], parents: false };
const copy = (sources: string[], destination: string, flags = {}, hereDocuments: object[] = []) => ({
  name: "COPY",
  sources,
  hereDocuments,
  destination,
  flags: { ...NO_FLAGS, ...flags },
});

describe("an instruction", () => {
  test.each<[string, string, ...object[]]>([
    ["in small letters", "run make", { name: "RUN", command: shell("make"), mounts: [] }],
    ["of words", 'RUN [ "a", "b c" ]', { name: "RUN", command: exec("a", "b c"), mounts: [] }],
    ["of words that are none", "RUN [ -e /x ]", { name: "RUN", command: shell("[ -e /x ]"), mounts: [] }],
    ["over lines", "RUN a \\\n  && b\\  \n\tc", { name: "RUN", command: shell("a   && b\tc"), mounts: [] }],
    [
      "with comments and empty lines in it",
      "RUN a && \\\n# x \\\n   # y\n\n  b",
      { name: "RUN", command: shell("a &&   b"), mounts: [] },
    ],
    [
      "that ends with an escaped \\",
      "RUN a \\\\\nUSER b",
      { name: "RUN", command: shell("a \\\\"), mounts: [] },
      { name: "USER", value: "b" },
    ],
    ["cut short by the end of the file", "RUN a \\", { name: "RUN", command: shell("a"), mounts: [] }],
    [
      "with ends of lines of other systems",
      "RUN a \\\r\n b\r\nUSER c\r\n",
      { name: "RUN", command: shell("a  b"), mounts: [] },
      { name: "USER", value: "c" },
    ],
    ["with a # that is no comment", "RUN a # b", { name: "RUN", command: shell("a # b"), mounts: [] }],
    [
      "of variables",
      'ENV A=1 B=\'2 3\' C="4\\"5" D=6\\ 7',
      {
        name: "ENV",
        pairs: [
          ["A", "1"],
          ["B", "'2 3'"],
          ["C", '"4\\"5"'],
          ["D", "6\\ 7"],
        ],
      },
    ],
    ["of one variable, as it was long ago", 'ENV A  b  "c"', { name: "ENV", pairs: [["A", 'b  "c"']] }],
    ["of a label with a blank", 'LABEL "a b"="c=d"', { name: "LABEL", pairs: [['"a b"', '"c=d"']] }],
    [
      "of arguments",
      "ARG A B= C=d",
      { name: "ARG", args: [{ name: "A" }, { name: "B", value: "" }, { name: "C", value: "d" }] },
    ],
    ["that copies", "COPY a b* /c/", copy(["a", "b*"], "/c/")],
    ["that copies names with blanks", 'COPY ["a b", "c d/"]', copy(["a b"], "c d/")],
    [
      "that copies with flags",
      "COPY --from=build --chown=a:b --chmod=u+x --link --parents --exclude=*.o --exclude=x ./a/./b /",
      copy(["./a/./b"], "/", {
        from: "build",
        chown: "a:b",
        chmod: "u+x",
        link: true,
        parents: true,
        exclude: ["*.o", "x"],
      }),
    ],
    ["with a flag that is false", "COPY --link=false a b", copy(["a"], "b")],
    ["with a quoted flag", 'COPY --chown="a b" --from=x\\ y a b', copy(["a"], "b", { chown: "a b", from: "x y" })],
    ["with -- before a name that is no flag", "COPY -- --a b", copy(["--a"], "b")],
    [
      "that adds",
      "ADD --checksum=sha256:1 --keep-git-dir --unpack=false https://x/y /z",
      {
        name: "ADD",
        sources: ["https://x/y"],
        hereDocuments: [],
        destination: "/z",
        flags: { link: false, exclude: [], checksum: "sha256:1", keepGitDir: true, unpack: false },
      },
    ],
    [
      "with a network and rights",
      "RUN --network=none --security=insecure make",
      { name: "RUN", command: shell("make"), mounts: [], network: "none", security: "insecure" },
    ],
    ["of a directory with a blank", "WORKDIR /a b", { name: "WORKDIR", value: "/a b" }],
    ["of volumes", "VOLUME /a /b", { name: "VOLUME", values: ["/a", "/b"] }],
    ["of volumes as words", 'VOLUME ["/a b"]', { name: "VOLUME", values: ["/a b"] }],
    ["of ports", "EXPOSE 80 $P/udp", { name: "EXPOSE", values: ["80", "$P/udp"] }],
    ["of no command", "CMD []", { name: "CMD", command: exec() }],
    ["of a shell", 'SHELL ["bash", "-c"]', { name: "SHELL", args: ["bash", "-c"] }],
    ["of no health check", "HEALTHCHECK none", { name: "HEALTHCHECK", check: {} }],
    [
      "of a health check",
      'HEALTHCHECK --interval=1m30s --timeout=0.5s --start-period=0 --start-interval=15ms --retries=3 CMD ["a"]',
      {
        name: "HEALTHCHECK",
        check: {
          test: exec("a"),
          intervalMs: 90_000,
          timeoutMs: 500,
          startPeriodMs: 0,
          startIntervalMs: 15,
          retries: 3,
        },
      },
    ],
    ["of somebody", 'MAINTAINER A <a@b> "c"', { name: "MAINTAINER", value: 'A <a@b> "c"' }],
    ["for later", "ONBUILD COPY . /a", { name: "ONBUILD", trigger: "COPY . /a", instruction: copy(["."], "/a") }],
  ])("%s", (_, text, ...expected) => {
    expect(said(text)).toEqual(expected);
  });
});

describe("a mount", () => {
  test.each<[string, object]>([
    ["type=cache,target=/c,sharing=locked,id=a", { type: "cache", target: "/c", sharing: "locked", id: "a" }],
    [
      "TYPE=CACHE,dst=/c,uid=5,gid=6,mode=0750,ro",
      { type: "cache", target: "/c", uid: 5, gid: 6, mode: 0o750, readOnly: true },
    ],
    ["destination=/d,src=a", { type: "bind", target: "/d", source: "a", readOnly: true }],
    ["from=x,rw", { type: "bind", from: "x", readOnly: false }],
    ["type=bind,target=/d,readonly=false", { type: "bind", target: "/d", readOnly: false }],
    ["type=tmpfs,target=/t,size=1.5m", { type: "tmpfs", target: "/t", sizeBytes: 1_572_864 }],
    ["type=secret,id=s,env=S,required", { type: "secret", id: "s", env: "S", required: true, readOnly: true }],
    ["type=ssh,required=0", { type: "ssh", required: false, readOnly: true }],
    ['\\"target=/a,b\\"', { type: "bind", target: "/a,b", readOnly: true }],
    // known once variables are
    ["type=$T,target=/c,sharing=locked", { type: "bind" }],
    ["type=cache,target=$C,uid=$U", { type: "cache", target: undefined }],
  ])("%s", (text, expected) => {
    const [run] = said(`RUN --mount=${text} make`) as { mounts: object[] }[];
    expect(run?.mounts).toEqual([{ text: text.replaceAll("\\", ""), ...expected }]);
  });

  test("is read again once variables are known", () => {
    const dockerfile = parseDockerfile("FROM a\nRUN --mount=type=$T,target=/$C,uid=$U make", FILE);
    const values: Record<string, string> = { T: "cache", C: "c", U: "7" };
    const run = dockerfile.stages[0]?.instructions[0] as Instruction;
    expect(expandInstruction(run, (name) => values[name], dockerfile)).toMatchObject({
      mounts: [{ type: "cache", target: "/c", uid: 7 }],
    });
    expect(() => expandInstruction(run, () => "x", dockerfile)).toThrow('Dockerfile:2:1: unknown type of a mount "x"');
  });
});

describe("a here-document", () => {
  const document = (name: string, content: string, isExpanded = true) => ({ name, content, isExpanded });

  test.each<[string, string, ...object[]]>([
    [
      "is a script",
      "RUN <<EOF\na\n  b \\\n# c\nEOF\nUSER d",
      { name: "RUN", command: shell("<<EOF", [document("EOF", "a\n  b \\\n# c\n")]), mounts: [] },
      { name: "USER", value: "d" },
    ],
    [
      "goes without tabs",
      "RUN <<-EOF\n\ta\n\t\t b\n\tEOF",
      { name: "RUN", command: shell("<<-EOF", [document("EOF", "a\n b\n")]), mounts: [] },
    ],
    [
      "is input",
      "RUN cat <<A 3<<B\na\nA\nb\nB",
      { name: "RUN", command: shell("cat <<A 3<<B", [document("A", "a\n"), document("B", "b\n")]), mounts: [] },
    ],
    [
      "is none in quotes",
      "RUN echo \"<<EOF\" '<<E' $((1<<2)) <<< x",
      { name: "RUN", command: shell("echo \"<<EOF\" '<<E' $((1<<2)) <<< x"), mounts: [] },
    ],
    ["is none in words of JSON", 'RUN ["<<EOF"]', { name: "RUN", command: exec("<<EOF"), mounts: [] }],
    [
      "is a file",
      "COPY <<a.txt <<'b' c /d/\n$x\na.txt\n$y\nb",
      copy(["c"], "/d/", {}, [document("a.txt", "$x\n"), document("b", "$y\n", false)]),
    ],
    ["is empty", "COPY <<a /d\na", copy([], "/d", {}, [document("a", "")])],
    [
      "is for later",
      "ONBUILD RUN <<-E\n\ta\n\tE",
      {
        name: "ONBUILD",
        trigger: "RUN <<-E\n\ta\n\tE",
        instruction: { name: "RUN", command: shell("<<-E", [document("E", "a\n")]), mounts: [] },
      },
    ],
  ])("%s", (_, text, ...expected) => {
    expect(said(text)).toEqual(expected);
  });

  test.each<[string, object]>([
    ["make", { kind: "line", text: "make" }],
    ["<<EOF\na\nEOF", { kind: "line", text: "a\n" }],
    ["<<EOF\n#!/bin/x\na\nEOF", { kind: "file", name: "EOF", content: "#!/bin/x\na\n" }],
    ["cat <<'A' <<B\na\nA\nb\nB", { kind: "line", text: "cat <<'A' <<B\na\nA\nb\nB" }],
  ])("comes to a script: %j", (text, expected) => {
    const run = parseInstruction(`RUN ${text}`, FILE) as Extract<Instruction, { name: "RUN" }>;
    expect<unknown>(run.command.form === "shell" && scriptOf(run.command)).toEqual(expected);
  });
});

describe("a Dockerfile", () => {
  test("has directives, arguments and stages", () => {
    const text =
      "\uFEFF# syntax=docker/dockerfile:1\n#  Escape = `\n\n# a comment\n#escape=x\nARG A=1\n" +
      "FROM --platform=$P a:$A AS One\nRUN a `\n b\\\nFROM one as two\n";
    const { directives, escape, globals, stages } = parseDockerfile(text, FILE);
    expect([[...directives], escape]).toEqual([
      [
        ["syntax", "docker/dockerfile:1"],
        ["escape", "`"],
      ],
      "`",
    ]);
    expect(globals.map(bare)).toEqual([{ name: "ARG", args: [{ name: "A", value: "1" }] }]);
    expect(stages.map(({ from, instructions }) => [bare(from), instructions.map(bare)])).toEqual([
      [
        { name: "FROM", image: "a:$A", platform: "$P", stage: "one" },
        [{ name: "RUN", command: shell("a  b\\"), mounts: [] }],
      ],
      [{ name: "FROM", image: "one", stage: "two" }, []],
    ]);
  });

  test("tells where each instruction stands", () => {
    const { stages } = parseDockerfile("# x\n  FROM a\n\\\n  RUN b \\\n  c <<E\nd\nE\nCMD []", FILE);
    expect([stages[0]?.from.place, ...(stages[0]?.instructions ?? []).map(({ place }) => place)]).toEqual([
      { line: 2, column: 3, endLine: 2 },
      { line: 4, column: 3, endLine: 7 },
      { line: 8, column: 1, endLine: 8 },
    ]);
    expect(stages[0]?.instructions[0]?.text).toBe("RUN b   c <<E");
  });

  test.each<[string, string, string?]>([
    ["", "1:1: there is no FROM"],
    ["# only\n", "1:1: there is no FROM"],
    ["# escape=x\nFROM a", '1:1: escape is "x"'],
    ["# escape=\\\n# escape=\\", '2:1: a second directive "escape"'],
    ["RUN a", "1:1: RUN before the first FROM"],
    ["FROM", "1:1: FROM takes an image"],
    ["FROM a b", "1:8: FROM takes an image"],
    ["FROM a AS", "1:8: FROM takes an image"],
    ["FROM a AS b c", "1:13: FROM takes an image"],
    ["FROM a AS 1", '1:11: "1" is no name for a stage'],
    ["FROM --platfrom=x a", '1:6: unknown flag "--platfrom"', "did you mean --platform?"],
    ["FROM a\n\n  RUNN b", '3:3: unknown instruction "RUNN"', "did you mean RUN?"],
    ["FROM a\nHTTP b", '2:1: unknown instruction "HTTP"'],
    ["FROM a\n<<<<<<< HEAD", '2:1: unknown instruction "<<<<<<<"'],
    ["FROM a\nRUN", "2:1: RUN needs a command"],
    ["FROM a\nRUN []", "2:1: RUN needs a command"],
    ["FROM a\nRUN --mount", "2:5: --mount needs a value"],
    ["FROM a\nRUN \\\n --mount=type=cahe,target=/x a", '3:10: unknown type of a mount "cahe"', "did you mean cache?"],
    ["FROM a\nRUN --mount=targt=/x a", '2:13: unknown key of a mount "targt"', "did you mean target?"],
    ["FROM a\nRUN --mount=type=bind,sharing=shared,target=/x a", "2:13: a mount of type bind has no sharing"],
    ["FROM a\nRUN --mount=type=tmpfs,target=/x,size=x a", '2:13: size "x" is not a size'],
    ["FROM a\nRUN --mount=type=cache,target=/x,mode=8 a", '2:13: mode "8" is not a number in octal'],
    ["FROM a\nRUN --mount=type=cache,target=/x,uid=-1 a", '2:13: uid "-1" is not a number'],
    ["FROM a\nRUN --mount=type=secret a", "2:13: a secret needs an id"],
    ["FROM a\nRUN --mount=from=$x,target=/x a", "2:13: variables are not expanded in from="],
    ['FROM a\nRUN --mount=tar\\"get=/x a', "2:13: a quote in"],
    ["FROM a\nRUN --network=bridge a", '2:15: unknown network "bridge"'],
    ["FROM a\nRUN --security=none a", '2:16: unknown security "none"'],
    ["FROM a\nRUN --network=none --network=none a", "2:20: --network is there twice"],
    ["FROM a\nRUN <<EOF\nx\n EOF", '2:5: the here-document "EOF" does not end'],
    ["FROM a\nRUN a \\\n <<X <<Y\nX", '3:6: the here-document "Y" does not end'],
    ["FROM a\nCOPY a", "2:6: COPY needs sources and a destination"],
    ["FROM a\nCOPY", "2:1: COPY needs sources and a destination"],
    ["FROM a\nCOPY --form=b a b", '2:6: unknown flag "--form"', "did you mean --from?"],
    ["FROM a\nCOPY --from=$b a b", "2:13: variables are not expanded in --from"],
    ["FROM a\nCOPY --link=2 a b", '2:6: --link is "2", and neither true nor false'],
    ["FROM a\nCOPY a <<b\nb", "2:8: a here-document is no destination of COPY"],
    ["FROM a\nADD --from=b a b", '2:5: unknown flag "--from"'],
    ['FROM a\nCOPY ["a", ""]', "2:1: an empty path of COPY"],
    ["FROM a\nENV", "2:1: ENV needs an argument"],
    ["FROM a\nENV a", '2:5: "a" has no value'],
    ["FROM a\nENV a=1 \\\n b", '3:2: "b" is not of the form name=value'],
    ["FROM a\nENV =1", '2:5: "=1" is not of the form name=value'],
    ["FROM a\nENV --x a=1", '2:5: there is no flag here, and so no "--x"'],
    ["ARG =1", '1:5: "=1" has no name'],
    ["FROM a\nCMD", "2:1: CMD needs a command"],
    ["FROM a\nCMD [1]", '2:5: "[1]" is an array, but not of strings only'],
    ["FROM a\nSHELL bash", "2:7: SHELL takes a JSON array of words"],
    ['FROM a\nVOLUME [""]', "2:8: an empty path"],
    ["FROM a\nWORKDIR", "2:1: WORKDIR needs an argument"],
    ["FROM a\nHEALTHCHECK CND x", '2:13: unknown kind of health check "CND"', "did you mean CMD?"],
    ["FROM a\nHEALTHCHECK NONE x", "2:18: HEALTHCHECK NONE takes no arguments"],
    ["FROM a\nHEALTHCHECK --retries=1 NONE", "2:23: HEALTHCHECK NONE takes no arguments"],
    ["FROM a\nHEALTHCHECK CMD", "2:16: no command"],
    ["FROM a\nHEALTHCHECK --interval=1 CMD x", '2:24: --interval="1" is not a duration'],
    ["FROM a\nHEALTHCHECK --interval=1us CMD x", "2:24: --interval=1us is less than 1ms"],
    ["FROM a\nHEALTHCHECK --retries=-1 CMD x", "2:23: --retries=-1 is not a number"],
    ["FROM a\nONBUILD", "2:1: ONBUILD needs an instruction"],
    ["FROM a\nONBUILD ONBUILD RUN x", "2:9: ONBUILD is not allowed in ONBUILD"],
    ["FROM a\nONBUILD FROM b", "2:9: FROM is not allowed in ONBUILD"],
    ["FROM a\nONBUILD RUNN b", '2:9: unknown instruction "RUNN"'],
    ["FROM a\nRUN a\0b", "2:1: a character 0 is in it"],
    ["__proto__ x", '1:1: unknown instruction "__proto__"'],
  ])("%j is refused", (text, message, hint = "") => {
    const error = failureOf(() => parseDockerfile(text, FILE));
    expect(error.message).toStartWith(`${FILE}:${message}`);
    expect([error.code, error.path]).toEqual(["dockerfile_invalid", FILE]);
    if (hint !== "") expect(error.hint).toBe(hint);
  });

  test("one instruction is one", () => {
    expect(failureOf(() => parseInstruction("RUN a\nRUN b", "x")).message).toBe(
      "x:2:1: there is more than one instruction",
    );
    expect(failureOf(() => parseInstruction(" ", "x")).message).toBe("x:1:1: there is no instruction");
  });
});

function failureOf(act: () => unknown): TsboxError {
  try {
    act();
  } catch (error) {
    if (error instanceof TsboxError) return error;
    throw error;
  }
  throw new Error("nothing failed");
}

const VALUES: Record<string, string> = {
  A: "aabbcb",
  E: "",
  P: "/usr/local/lib.tar.gz",
  S: "a b  c",
  Q: 'x"y',
  ü1: "u",
};
const valueOf = (name: string) => (Object.hasOwn(VALUES, name) ? VALUES[name] : undefined);

describe("expansion of", () => {
  test.each<[string, string]>([
    ["a", "a"],
    ["$A", "aabbcb"],
    ["x${A}y", "xaabbcby"],
    ["$Ay", ""],
    ["$ü1", "u"],
    ["$N.", "."],
    ["$", "$"],
    ["$$x$1a", "xa"],
    ["$.", "$."],
    ["\\$A", "$A"],
    ["\\\\$A", "\\aabbcb"],
    ["a\\b\\", "ab"],
    ["'$A\\'", "$A\\"],
    ['"$A"', "aabbcb"],
    ['"\\$A \\" \\\\ \\n"', '$A " \\ \\n'],
    ["a'b'\"c\"", "abc"],
    ["$Q", 'x"y'],
    ["${N-x}${E-x}${A-x}", "xaabbcb"],
    ["${N:-x}${E:-x}${A:-x}", "xxaabbcb"],
    ["${N+x}${E+x}${A+x}", "xx"],
    ["${N:+x}${E:+x}${A:+x}", "x"],
    ["${A?x}${E?x}${A:?x}", "aabbcbaabbcb"],
    ["${N:-${E:-$A}}", "aabbcb"],
    ["${N:-'}'}\\}", "}}"],
    ['"${N:-a b}"', "a b"],
    ["${A#a}", "abbcb"],
    ["${A#a*b}", "bcb"],
    ["${A##a*b}", ""],
    ["${A%b}", "aabbc"],
    ["${A%b*}", "aabbc"],
    ["${A%%b*}", "aa"],
    ["${A#?}", "abbcb"],
    ["${A#x}", "aabbcb"],
    ["${N#x}", ""],
    ["${P##*/}", "lib.tar.gz"],
    ["${P%%.*}", "/usr/local/lib"],
    ["${P%/*}", "/usr/local"],
    ["${P#\\/usr}", "/local/lib.tar.gz"],
    ["${A/b/X}", "aaXbcb"],
    ["${A//b/X}", "aaXXcX"],
    ["${A//b/}", "aac"],
    ["${A/b*/X}", "aaX"],
    ["${A//?/x}", "xxxxxx"],
    ["${A//x/y}", "aabbcb"],
    ["${P//\\//_}", "_usr_local_lib.tar.gz"],
    ["${A//a/$P}", "/usr/local/lib.tar.gz/usr/local/lib.tar.gzbbcb"],
  ])("%s", (text, expected) => {
    expect(expand(text, valueOf, "\\")).toBe(expected);
  });

  test("words", () => {
    expect(expandWords("80 $S \"$S\" $E '' x$S\\ y", valueOf, "\\")).toEqual([
      "80",
      "a",
      "b",
      "c",
      "a b  c",
      "xa",
      "b",
      "c y",
    ]);
  });

  test("another escape character", () => {
    expect(expand("`$A \\$A c:\\x", valueOf, "`")).toBe("$A \\aabbcb c:\\x");
  });

  test("here-documents keeps quotes", () => {
    expect(expand("\"$A\" '$A' \\$A", valueOf, "\\", { quotes: "kept" })).toBe("\"aabbcb\" 'aabbcb' $A");
  });

  test.each<[string, string]>([
    ["${A", "does not end"],
    ["${", "does not end"],
    ["${A:-x", "does not end"],
    ["${A/b", "does not end"],
    ["${A/b/c", "does not end"],
    ["${}", "without a name"],
    ["${{A}}", "without a name"],
    ["${:-x}", "without a name"],
    ["${A^}", "is no substitution"],
    ["${A:1}", "is no substitution"],
    ["${A:#x}", "is no substitution"],
    ["${N?}", "N: it is not set"],
    ["${E:?}", "E: it is empty"],
    ["${N:?give it}", "N: give it"],
    ["'a", "a ' that does not end"],
    ['"a', 'a " that does not end'],
    ["${A#\\a}", "escapes nothing"],
  ])("%s is refused", (text, message) => {
    expect(() => expand(text, valueOf, "\\")).toThrow(message);
  });

  test("instructions: all that Docker expands, and no commands", () => {
    const text = [
      "FROM a",
      "ENV A=$A B='$A'",
      "LABEL $A=$A",
      'COPY --chown=$A --chmod=$A --exclude=$A $A "$A" <<$A /$A/',
      'x $A \\$A "$A"',
      "$A",
      "ADD --checksum=$A $A b",
      "WORKDIR $A",
      "USER $A",
      "STOPSIGNAL $A",
      "VOLUME $A",
      "EXPOSE $A $S",
      "ARG C=$A",
      "RUN $A",
      "CMD $A",
      'ENTRYPOINT ["$A"]',
      "ONBUILD RUN $A",
      "MAINTAINER $A",
    ].join("\n");
    const dockerfile = parseDockerfile(text, FILE);
    const one = (name: string) => ({ A: "1", S: "2 3" })[name];
    const all = dockerfile.stages[0]?.instructions.map((instruction) =>
      bare(expandInstruction(instruction, one, dockerfile)),
    );
    expect(all).toEqual([
      {
        name: "ENV",
        pairs: [
          ["A", "1"],
          ["B", "$A"],
        ],
      },
      { name: "LABEL", pairs: [["1", "1"]] },
      copy(["1", "1"], "/1/", { chown: "1", chmod: "1", exclude: ["1"] }, [
        { name: "$A", content: 'x 1 $A "1"\n', isExpanded: true },
      ]),
      {
        name: "ADD",
        sources: ["1"],
        hereDocuments: [],
        destination: "b",
        flags: { link: false, exclude: [], checksum: "1", keepGitDir: false },
      },
      { name: "WORKDIR", value: "1" },
      { name: "USER", value: "1" },
      { name: "STOPSIGNAL", value: "1" },
      { name: "VOLUME", values: ["1"] },
      { name: "EXPOSE", values: ["1", "2", "3"] },
      { name: "ARG", args: [{ name: "C", value: "1" }] },
      { name: "RUN", command: shell("$A"), mounts: [] },
      { name: "CMD", command: shell("$A") },
      { name: "ENTRYPOINT", command: exec("$A") },
      { name: "ONBUILD", trigger: "RUN $A", instruction: { name: "RUN", command: shell("$A"), mounts: [] } },
      { name: "MAINTAINER", value: "$A" },
    ]);
    expect(
      failureOf(() =>
        expandInstruction(parseInstruction("\n  ENV A=${A:?x}", FILE), () => "", { file: FILE, escape: "\\" }),
      ).message,
    ).toBe("Dockerfile:2:3: A: x");
  });
});

describe("hostile text", () => {
  const quickly = (act: () => unknown) => {
    const start = performance.now();
    try {
      act();
    } catch (error) {
      expect(error instanceof TsboxError || error instanceof SyntaxError).toBe(true);
    }
    expect(performance.now() - start).toBeLessThan(4_000);
  };
  const long = (text: string) => text.repeat(200_000);

  test.each<[string, string]>([
    ["backslashes", `RUN ${long("\\")}`],
    ["backslashes and blanks", `RUN ${long("\\ ")}`],
    ["blanks", `RUN a${long(" ")}b`],
    ["quotes", `ENV A=${long("'\"")}`],
    ["flags", `RUN ${long("--a=b ")}`],
    ["continuations", `RUN a ${long("\\\n")}`],
    ["comments", `RUN a \\\n${long("# x\n")}`],
    ["here-documents", `RUN ${long("<<A ")}\n${long("A\n")}`],
    ["brackets", `RUN ${long("[")}`],
    ["mounts", `RUN --mount=${long("ro,")}ro a`],
    ["a name of an instruction", long("a")],
    ["equal signs", `ENV ${long("=")}`],
    ["durations", `HEALTHCHECK --interval=${long("1s")} CMD a`],
  ])("many %s take no longer than their length", (_, text) => {
    quickly(() => parseDockerfile(`FROM a\n${text}`, FILE));
  });

  test("a pattern that a matcher could take for ever over", () => {
    const value = "a".repeat(100_000);
    const slow = `\${A##${"*a".repeat(1_000)}b}`;
    quickly(() => expect(() => expand(slow, () => value, "\\")).toThrow("takes too long"));
  });

  test("values of values do not double for ever", () => {
    let value = "x".repeat(1000);
    expect(() => {
      for (let line = 0; line < 100; line++) value = expand("$A$A", () => value, "\\");
    }).toThrow("longer than");
    expect(value.length).toBeLessThan(1 << 21);
    expect(() => expand("${A//a/$B}", (name) => (name === "A" ? "a" : "b").repeat(1 << 19), "\\")).toThrow(
      "longer than",
    );
  });

  test("substitutions in each other are not followed for ever", () => {
    expect(() => expand("${A:-".repeat(100_000), () => "", "\\")).toThrow("in each other");
  });

  test("nothing but an error with a place comes of any text", () => {
    const pieces = `FROM a|RUN |COPY |ENV |ARG A|ONBUILD |--mount=|type=cache,|target=/x|--from=|<<EOF|<<-'E'|EOF|E|\n|
      \\\n|\\|"|'|$A|$\{A:-|}|[|]|,|=| |\t|#|# escape=\`|\`|HEALTHCHECK |--interval=|CMD |\r|\0|é|𝒳|SHELL |LABEL `;
    const piece = fc.constantFrom(...pieces.split("|").map((each) => each.replace(/^\n {6}/, "")));
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 3 })), { maxLength: 40 }), (parts) => {
        const text = parts.join("");
        try {
          const dockerfile = parseDockerfile(text, FILE);
          const lines = text.split("\n").length;
          for (const instruction of dockerfile.stages.flatMap((stage) => [stage.from, ...stage.instructions])) {
            expect(instruction.place.line).toBeWithin(1, instruction.place.endLine + 1);
            expect(instruction.place.endLine).toBeLessThanOrEqual(lines);
            expandInstruction(instruction, () => "v", dockerfile);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(TsboxError);
          expect((error as Error).message).toMatch(/^Dockerfile:\d+:\d+: /);
        }
      }),
      { numRuns: 3_000 },
    );
  });
});

/** Build checks: what a Dockerfile does that its author may not have meant, by BuildKit's names. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { checkBuild, type BuildOptions, type Finding } from "../lib/build/index.ts";
import { checkDockerfile, parseDockerfile, readCheckSettings, RULES, type Rule } from "../lib/dockerfile/index.ts";
import { image } from "../lib/image-builder/index.ts";
import { failedBuild, TestBuilds } from "./support/builds.ts";
import { noBusybox, testUnless } from "./support/machine.ts";

let builds: TestBuilds;
beforeAll(async () => {
  if (noBusybox === undefined) builds = await TestBuilds.make();
});
afterAll(() => builds?.[Symbol.dispose]());

const short = (findings: readonly Finding[]) => findings.map(({ rule, line }) => `${rule} ${line}`);
const found = (text: string) => short(checkDockerfile(parseDockerfile(text)));

/** What is wrong, and the same as it should be. */
const CASES: [rule: Rule, wrong: string, lines: number[], right: string][] = [
  ["StageNameCasing", "FROM a AS Base", [1], "FROM a AS base"],
  ["FromAsCasing", "FROM a as base", [1], "FROM a AS base\n"],
  ["FromAsCasing", "from --platform=$X a AS base", [1], "from --platform=$X a as base"],
  ["NoEmptyContinuation", "FROM a\nRUN x \\\n\n  y", [3], "FROM a\nRUN x \\\n# y\n  y"],
  ["ConsistentInstructionCasing", "FROM a\nrun x\nRUN y\nRun z", [2, 4], "from a\nrun x\nrun y"],
  ["ConsistentInstructionCasing", "from a\nrun x\nRUN y", [3], "FROM a\nRUN x"],
  ["DuplicateStageName", "FROM a AS b\nFROM c AS b", [2], "FROM a AS b\nFROM c AS d"],
  ["ReservedStageName", "FROM a AS scratch\nFROM a AS context", [1, 2], "FROM scratch AS a"],
  ["JSONArgsRecommended", "FROM a\nCMD x y\nENTRYPOINT z", [2, 3], 'FROM a\nCMD ["x"]\nENTRYPOINT ["z"]'],
  ["JSONArgsRecommended", 'FROM a AS b\nCMD x\nSHELL ["s"]', [2], 'FROM a AS b\nSHELL ["s"]\nFROM b\nCMD x'],
  ["MaintainerDeprecated", "FROM a\nMAINTAINER me", [2], "FROM a\nLABEL maintainer=me"],
  ["WorkdirRelativePath", "FROM a\nWORKDIR b\nWORKDIR c", [2], "FROM a AS x\nWORKDIR /b\nFROM x\nWORKDIR c"],
  ["WorkdirRelativePath", "FROM a\nWORKDIR ./b", [2], "FROM a\nWORKDIR $b\nWORKDIR c"],
  [
    "MultipleInstructionsDisallowed",
    'FROM a\nCMD ["x"]\nCMD ["y"]\nHEALTHCHECK NONE\nHEALTHCHECK CMD x',
    [2, 4],
    'FROM a AS b\nCMD ["x"]\nFROM b\nCMD ["y"]\nENTRYPOINT ["z"]',
  ],
  [
    "LegacyKeyValueFormat",
    "FROM a\nENV b c\nLABEL d e=f",
    [2, 3],
    'FROM a\nENV b=c d="e f"\nLABEL "x y"=z\nENV a\\ b=c',
  ],
  ["RedundantTargetPlatform", "FROM --platform=$TARGETPLATFORM a", [1], "FROM --platform=$BUILDPLATFORM a"],
  [
    "SecretsUsedInArgOrEnv",
    "ARG API_TOKEN\nFROM a\nARG x PASSWORD=1\nENV auth=1 B=2",
    [1, 3, 4],
    "FROM a\nARG TOKENS\nENV KEYBOARD=1 PUBLIC_KEY=2",
  ],
  [
    "FromPlatformFlagConstDisallowed",
    "FROM --platform=linux/amd64 a AS b",
    [1],
    "FROM --platform=linux/amd64 a AS b_amd64\nFROM --platform=$BUILDPLATFORM a",
  ],
  ["ExposeProtoCasing", "FROM a\nEXPOSE 80/TcP 81", [2], "FROM a\nEXPOSE 80/tcp 81/$P"],
  ["ExposeInvalidFormat", "FROM a\nEXPOSE 127.0.0.1:80:80 81", [2], "FROM a\nEXPOSE 80-82 $A ${B:-83}"],
  [
    "InvalidDefinitionDescription",
    "# what\nFROM a AS b\n# other\nARG c=1",
    [2, 4],
    "# b is it\nFROM a AS b\n# c too\nARG c\n# x\n\nARG d\n# y\n#\nARG e\n# z\nRUN x",
  ],
];

test.each(CASES)("%s of %j", (rule, wrong, lines, right) => {
  const only = (text: string) => found(text).filter((each) => each.startsWith(`${rule} `));
  expect(only(wrong)).toEqual(lines.map((line) => `${rule} ${line}`));
  expect(only(right)).toEqual([]);
});

test("nothing is found in what is as it should be, and what is hostile takes no time", () => {
  expect(found('ARG V=1\nFROM a:$V AS b\nWORKDIR /x\nENV A=1\nCOPY . .\nRUN make\nCMD ["x"]')).toEqual([]);
  const began = performance.now();
  found(`FROM a\nENV ${'"'.repeat(200_000)}x`.replace(/x$/, "a b"));
  found(`FROM a\nLABEL ${"a".repeat(500_000)} b`);
  found(`FROM ${"--x ".repeat(0)}a\nEXPOSE ${"8".repeat(300_000)}`);
  expect(performance.now() - began).toBeLessThan(3000);
});

describe("settings", () => {
  const wanted = (text: string) => RULES.filter(readCheckSettings(text, "f").isWanted);
  test("leave rules out, add others, and make an error of what is found", () => {
    const usual = RULES.filter((rule) => rule !== "CopyIgnoredFile" && rule !== "InvalidDefinitionDescription");
    expect(wanted("")).toEqual(usual);
    expect(wanted("skip=all")).toEqual([]);
    expect(wanted("skip=stagenamecasing, UndefinedVar ;error=true")).toEqual(
      usual.filter((rule) => rule !== "StageNameCasing" && rule !== "UndefinedVar"),
    );
    expect(wanted("experimental=all")).toEqual([...RULES]);
    expect(wanted("experimental=CopyIgnoredFile")).toContain("CopyIgnoredFile");
    expect(
      ["", "error=false", "error=true", "skip=all; error=1"].map((text) => readCheckSettings(text, "f").isError),
    ).toEqual([false, false, true, true]);
  });

  test.each(["skip", "skip=", "warn=true", "error=perhaps", "skip=StageNameCase", "skip=A,,B"])(
    "%s are none",
    (text) => {
      expect(() => readCheckSettings(text, "f")).toThrow("f:1:1: ");
    },
  );
});

describe.skipIf(noBusybox !== undefined)("a build", () => {
  const check = async (dockerfile: string, options: BuildOptions = {}) => {
    const { path: context } = builds.context;
    return short(await checkBuild(builds.root, { dockerfile, context, ...options }));
  };

  test("knows which variables there are", async () => {
    const text = `ARG KNOWN=1
FROM base AS a
ARG OWN
ARG KNOWN
ENV A=$OWN B=$KNOWN C=$MISSING D=\${E:-f} F=$PATH G=$TARGETARCH
ARG TARGETARCH
ENV H=$TARGETARCH I='$J' K=\\$L
FROM a
ENV M=$A N=\${O} P=\${Q#x}
RUN echo $ANYTHING`;
    expect(await check(text)).toEqual(["UndefinedVar 5", "UndefinedVar 5", "UndefinedVar 9", "UndefinedVar 9"]);
    // what has no value is no end of it
    expect(await check("FROM base\nARG U\nUSER $U\nWORKDIR $U\nEXPOSE $U\nENV A=$B")).toEqual(["UndefinedVar 6"]);
    // what its environment is nobody knows
    expect(await check("FROM missing.example/x AS a\nENV A=$B\nFROM a\nENV C=$D")).toEqual([]);
    expect(await check("FROM scratch\nENV A=$B")).toEqual(["UndefinedVar 2"]);
  });

  test("knows what FROM says, without arguments that are given", async () => {
    const args = { TAG: "1", A: "base" };
    expect(await check("ARG TAG\nFROM base:$TAG", { args })).toEqual(["InvalidDefaultArgInFrom 2"]);
    expect(await check("ARG A=base\nFROM $A", { args })).toEqual([]);
    expect(await check("ARG TAG\nFROM base:${TAG:-1}", { args })).toEqual([]);
    expect(await check("ARG A=base\nFROM $A AS x\nFROM --platform=$BUILDPLATFROM base")).toEqual([
      "UndefinedArgInFrom 3",
    ]);
  });

  test("knows what .dockerignore leaves out", async () => {
    builds.context.write(".dockerignore", "*.log\nout\n");
    const text = "# check=experimental=CopyIgnoredFile\nFROM base\nCOPY a.log out/ ./b /\nADD https://x/y.log /";
    expect(await check(text)).toEqual(["CopyIgnoredFile 3", "CopyIgnoredFile 3"]);
    expect(await check(text.replace("experimental", "skip"))).toEqual([]);
  });

  test("warns, or ends before anything is done", async () => {
    const text = "FROM base AS Upper\nCMD x";
    const warnings = () => builds.events.flatMap((event) => (event.type === "warning" ? [event] : []));
    await builds.build(text);
    expect(warnings().map(({ rule, line }) => `${rule} ${line}`)).toEqual([
      "StageNameCasing 1",
      "JSONArgsRecommended 2",
    ]);
    expect(warnings()[1]?.message).toBe(
      "JSONArgsRecommended: CMD is for a shell, which gets the signals: JSON is without one (line 2)",
    );
    const failing = await failedBuild(builds.build(`# check=error=true;skip=StageNameCasing\n${text}`));
    expect([failing.code, failing.message.split(":").slice(0, 4)]).toEqual([
      "dockerfile_invalid",
      ["Dockerfile", "3", "1", " JSONArgsRecommended"],
    ]);
    expect(builds.events).toEqual([]);
    await builds.build(`# check=error=true\n${text}`, { args: { BUILDKIT_DOCKERFILE_CHECK: "skip=all" } });
    expect(warnings()).toEqual([]);
    const page = image("base").env({ TOKEN: "x" });
    expect(short(await checkBuild(builds.root, { dockerfile: page.dockerfile() }))).toEqual([
      "SecretsUsedInArgOrEnv 2",
    ]);
  });
});

testUnless(noBusybox, "tsbox build --check prints what it finds, and exits with 1 where there is anything", () => {
  const call = (text: string, ...words: string[]) => {
    builds.context.write("checked/Dockerfile", text);
    const { stdout, stderr, exitCode } = Bun.spawnSync(
      [
        process.execPath,
        `${import.meta.dir}/../lib/cli/main.ts`,
        "--root",
        builds.root,
        "build",
        "--check",
        ...words,
        ".",
      ],
      { cwd: `${builds.context.path}/checked` },
    );
    return [exitCode, stdout.toString(), stderr.toString()];
  };
  expect(call('FROM base\nCMD ["x"]')).toEqual([0, "", ""]);
  expect(call("FROM base AS B\nMAINTAINER x")).toEqual([
    1,
    "Dockerfile:1: StageNameCasing: the stage B is not in lower case\nDockerfile:2: MaintainerDeprecated: a LABEL is for that\n",
    "",
  ]);
  const [status, stdout, stderr] = call("FROM base\nRUNN x");
  expect([status, stdout]).toEqual([1, ""]);
  expect(stderr).toContain("unknown instruction");
});

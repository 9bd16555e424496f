/** Templates of `--format`, judged by Go's own: as podman and Docker's client have it, where they are installed. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { NO_LIST, NO_MAP, Template, TemplateError } from "../lib/cli/template/template.ts";
import { SLOW, testUnless } from "./support/machine.ts";

/** What an engine tells of an image, in the shape of Docker's. */
const IMAGE = {
  Id: "sha256:0123",
  RepoTags: ["debian:12", "reg.local:5000/team/app:v1"],
  RepoDigests: [],
  Created: "2025-01-02T03:04:05.678901234Z",
  Config: {
    Env: ["PATH=/bin", "LANG=C"],
    Entrypoint: NO_LIST,
    Cmd: ["bash", "-c", 'echo "hi" && <x>'],
    Labels: new Map([
      ["b.c", "two <words>"],
      ["a", "one"],
      ["empty", ""],
    ]),
    ExposedPorts: new Map([["80/tcp", {}]]),
    Volumes: NO_MAP,
    User: "",
    // a pointer, which is nil
    Healthcheck: null,
  },
  Architecture: "amd64",
  Os: "linux",
  Size: 77_812_345,
  RootFS: { Type: "layers", Layers: ["sha256:aa", "sha256:bb"] },
};

const outcome = (source: string, data: unknown = IMAGE): string => {
  try {
    return new Template(source).execute(data);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    return `error: ${error.message}`;
  }
};

/** Without data. */
const CONSTANT: [template: string, result: string][] = [
  ["plain }} text", "plain }} text"],
  ["{{1}} {{-2}} {{+3}} {{0x1F}} {{0b101}} {{0o17}} {{017}} {{1_000}}", "1 -2 3 31 5 15 15 1000"],
  ["{{1.0}} {{.5}} {{1e3}} {{1e21}} {{1e-5}} {{123456789.0}} {{0x1p4}}", "1 0.5 1000 1e+21 1e-05 1.23456789e+08 16"],
  ["{{'a'}} {{'\\n'}} {{'é'}}", "97 10 233"],
  ['{{"a\\tb\\"\\u00e9\\x41\\101"}} {{`raw\\d`}}', 'a\tb"éAA raw\\d'],
  ["a {{- 1 -}} b", "a1b"],
  ["a {{-1}} b", "a -1 b"],
  ["a\n{{- /* comment */ -}}\n b{{/* another */}} c", "ab c"],
  ["{{1 -}}  {{/* c */}} y", "1 y"],
  ['{{true}} {{false}} {{not true}} {{not 0}} {{not "x"}}', "true false false true false"],
  ['{{and 1 0 2}}|{{or 0 "" 3}}|{{and 1 2}}|{{or 0 ""}}', "0|3|2|"],
  ['{{if 0}}a{{else if 1}}b{{else}}c{{end}}{{if ""}}x{{end}}', "b"],
  ["{{with 5}}{{.}}{{end}}{{with 0}}a{{else}}b{{end}}", "5b"],
  ["{{$x := 1}}{{$y := $x}}{{$x = 2}}{{$x}}{{$y}}", "21"],
  ["{{$x := 1}}{{if true}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21"],
  ["{{if $x := 3}}{{$x}}{{end}}{{with $y := 4}}{{$y}}{{.}}{{end}}", "344"],
  ['{{range $i, $e := split "a,b,c" ","}}{{$i}}{{$e}}{{end}}', "0a1b2c"],
  ['{{range $e := split "a,b" ","}}{{$e}}{{end}}{{range split "" ","}}<{{.}}>{{else}}none{{end}}', "ab<>"],
  ['{{range split "a,b,c,d" ","}}{{if eq . "b"}}{{continue}}{{end}}{{if eq . "d"}}{{break}}{{end}}{{.}}{{end}}', "ac"],
  ['{{"quoted" | printf "%q"}} {{"a" | upper | printf "%s-%s" "x"}}', '"quoted" x-A'],
  [
    '{{printf "%d|%5d|%-5d|%05d|%+d|% d|%x|%X|%o|%b|%c|%q|%U" 42 42 42 42 42 42 42 42 42 42 42 42 42}}',
    "42|   42|42   |00042|+42| 42|2a|2A|52|101010|*|'*'|U+002A",
  ],
  ['{{printf "%#x %#o %#b %08.3d %x" 42 42 5 7 -42}}', "0x2a 052 0b101      007 -2a"],
  [
    '{{printf "%s|%10s|%-10s|%.2s|%q|%x|%X|% x|%v" "héllo" "a" "a" "héllo" "a\\"b\\n" "hi" "hi" "hi" "v"}}',
    'héllo|         a|a         |hé|"a\\"b\\n"|6869|6869|68 69|v',
  ],
  [
    '{{printf "%f|%.2f|%8.3f|%e|%g|%G|%v|%+.1f|%06.1f" 1.5 1.5 1.5 1234.5 1e-7 1e30 2.5 3.0 2.25}}',
    "1.500000|1.50|   1.500|1.234500e+03|1e-07|1E+30|2.5|+3.0|0002.2",
  ],
  ['{{printf "%.3g|%.10g|%g|%g" 1234.5 1234.5 100000.0 1e21}}', "1.23e+03|1234.5|100000|1e+21"],
  ['{{printf "%t %v %5t|%-6t|" true false true false}}', "true false  true|false |"],
  ['{{printf "%*d|%-*d|%.*f" 5 1 4 2 1 3.14159}}', "    1|2   |3.1"],
  [
    '{{printf "%d" "x"}}{{printf "%s" 1}}{{printf "%d"}}{{printf "x" 1 "a"}}{{printf "%z" 1}}{{printf "%"}}',
    "%!d(string=x)%!s(int=1)%!d(MISSING)x%!(EXTRA int=1, string=a)%!z(int=1)%!(NOVERB)",
  ],
  ['{{printf "%v %s %d" nil nil nil}}', "<nil> %!s(<nil>) %!d(<nil>)"],
  ['{{printf "%5v|%q|%x" (split "a,b" ",") (split "a,b" ",") (split "a,b" ",")}}', '[    a     b]|["a" "b"]|[61 62]'],
  ['{{printf "%T %T %T %T %T" 1 1.0 "a" true (split "a" ",")}}', "int float64 string bool []string"],
  ['{{printf "%%|%5%|%d%%" 5}}', "%|%|5%"],
  ['{{print 1 2 "a" "b" 3}}{{println "x" 1}}{{print}}{{print nil}}', "1 2a b3x 1\n<nil>".replace("a b", "ab")],
  [
    '{{len "héllo"}} {{len (split "a,b" ",")}} {{slice "abcdef" 1 3}} {{slice "abc" 1}} {{slice "abc"}} {{index "abc" 1}}',
    "6 2 bc bc abc 98",
  ],
  ['{{index (split "a,b" ",") 1}} {{slice (split "a,b,c" ",") 1}} {{slice (split "a,b,c" ",") 0 1 2}}', "b [b c] [a]"],
  [
    '{{html "<a>&\\"\'x"}} {{js "a<b\\"\'\\\\=&"}} {{urlquery "a b&c/é!~"}}',
    "&lt;a&gt;&amp;&#34;&#39;x a\\u003Cb\\\"\\'\\\\\\u003D\\u0026 a+b%26c%2F%C3%A9%21~",
  ],
  ['{{upper "abc"}} {{lower "ABC"}} {{title "hello world-foo o\'neil _x"}}', "ABC abc Hello World-Foo O'Neil _x"],
  ['{{join (split "a,b" ",") "-"}} {{split "a,b" ","}} {{split "abc" ""}}', "a-b [a b] [a b c]"],
  ['{{pad "x" 2 3}}|{{pad "" 2 3}}|{{truncate "abcdef" 3}}|{{truncate "ab" 3}}', "  x   ||abc|ab"],
  [
    '{{json "a<b\\"c\\n\\u001b"}} {{json 1}} {{json 1.5}} {{json true}} {{json nil}} {{json (split "a,b" ",")}}',
    '"a<b\\"c\\n\\u001b" 1 1.5 true null ["a","b"]',
  ],
  [
    '{{eq 1 1}} {{eq 1 2 1}} {{ne "a" "b"}} {{lt 1 2}} {{le 2 2}} {{gt "b" "a"}} {{ge 1.5 2.5}} {{eq true true}}',
    "true true true true true true false true",
  ],
  ["{{(1)}} {{(print 1 2) | len}} {{((((1))))}}", "1 3 1"],
  ["{{ 1\n|\nprint }}", "1"],
  ["{{$}}{{.}}", "{}{}"],
];

/** On the image above. */
const WITH_DATA: [template: string, result: string][] = [
  [
    "{{.Id}} {{.Size}} {{.RepoTags}} {{.RepoDigests}}",
    "sha256:0123 77812345 [debian:12 reg.local:5000/team/app:v1] []",
  ],
  [
    "{{.Config.Labels}} {{.Config.Volumes}} {{.Config.ExposedPorts}}",
    "map[a:one b.c:two <words> empty:] map[] map[80/tcp:{}]",
  ],
  [
    '{{.Config.Labels.a}} {{index .Config.Labels "b.c"}} [{{index .Config.Labels "none"}}] {{.Config.Labels.none}}',
    "one two <words> [] <no value>",
  ],
  ["{{.Config.Healthcheck}} {{$h := .Config.Healthcheck}}{{$h}} {{json .Config.Healthcheck}}", "<nil> <nil> null"],
  ["{{if .Config.Healthcheck}}x{{end}}{{.Config.Labels.none}} {{.Config.Healthcheck}}", "<no value> <nil>"],
  [
    "{{json .Config.Labels}} {{json .RepoTags}} {{json .Size}} {{json .RepoDigests}}",
    '{"a":"one","b.c":"two <words>","empty":""} ["debian:12","reg.local:5000/team/app:v1"] 77812345 []',
  ],
  ["{{range .Config.Env}}{{println .}}{{end}}", "PATH=/bin\nLANG=C\n"],
  ["{{range $i, $e := .Config.Env}}{{if $i}}, {{end}}{{$e}}{{end}}", "PATH=/bin, LANG=C"],
  ["{{range $k, $v := .Config.Labels}}{{$k}}={{$v}};{{end}}", "a=one;b.c=two <words>;empty=;"],
  ["{{range $p, $_ := .Config.ExposedPorts}}{{$p}}{{end}}", "80/tcp"],
  ["{{range .Config.Volumes}}x{{else}}none{{end}}{{if .Config.Volumes}}y{{end}}{{with .RepoDigests}}z{{end}}", "none"],
  ["{{with .Config}}{{.Env}} {{$.Id}}{{end}}", "[PATH=/bin LANG=C] sha256:0123"],
  [
    "{{.Config.Entrypoint}} {{json .Config.Entrypoint}} {{len .Config.Entrypoint}}{{if .Config.Entrypoint}}x{{end}}",
    "[] null 0",
  ],
  ["{{len .Config.Env}} {{len .Config.Labels}} {{len .Id}}", "2 3 11"],
  ["{{index .Config.Env 1}} {{(index .RepoTags 0) | upper}} {{slice .Id 7 9}}", "LANG=C DEBIAN:12 01"],
  ['{{join .Config.Cmd " "}} {{join .RootFS.Layers ","}}', 'bash -c echo "hi" && <x> sha256:aa,sha256:bb'],
  [
    '{{if gt .Size 1000}}large{{end}} {{eq .Os "linux"}} {{if and (eq .Os "linux") (ne .Architecture "arm64")}}yes{{end}}',
    "large true yes",
  ],
  ['{{printf "%s/%s %12d|" .Os .Architecture .Size}}{{.Config.User | printf "%q"}}', 'linux/amd64     77812345|""'],
  ["{{.RootFS.Type | title}} {{.Architecture | upper | json}}", 'Layers "AMD64"'],
  ["{{$c := .Config}}{{$c.Env}} {{$c.Labels.a}}", "[PATH=/bin LANG=C] one"],
  ["{{(.Config).User}}{{(index .Config.Env 0)}}", "PATH=/bin"],
];

const ERRORS: [template: string, message: string][] = [
  ["{{", ":1: unclosed action"],
  ["{{.Id}", ":1: bad character U+007D '}'"],
  ["a\n{{if}}", ":2: missing value for if"],
  ["{{if true}}a", ":1: unexpected EOF"],
  ["{{end}}", ":1: unexpected {{end}}"],
  ["{{else}}", ":1: unexpected {{else}}"],
  ["{{if 1}}{{else}}{{else}}{{end}}", ":1: expected end; found {{else}}"],
  ["{{foo}}", ':1: function "foo" not defined'],
  ["{{$x}}", ':1: undefined variable "$x"'],
  ["{{if $x := 1}}{{end}}{{$x}}", ':1: undefined variable "$x"'],
  ['{{"a}}', ":1: unterminated quoted string"],
  ["{{`a}}", ":1: unterminated raw quoted string"],
  ["{{'a}}", ":1: unterminated character constant"],
  ["{{'ab'}}", ":1: malformed character constant: 'ab'"],
  ["{{1 | 2}}", ":1: non executable command in pipeline stage 2"],
  ["{{(1}}", ":1: unclosed left paren"],
  ["{{1e400}}", ':1: illegal number syntax: "1e400"'],
  ["{{99999999999999999999}}", ':1: integer overflow: "99999999999999999999"'],
  ["{{1a}}", ':1: bad number syntax: "1a"'],
  ["{{break}}", ":1: {{break}} outside {{range}}"],
  ["{{true.foo}}", ':1: unexpected . after term "true"'],
  ["{{/* a }}", ":1: unclosed comment"],
  ["{{/* a */ }}", ":1: comment ends before closing delimiter"],
  ["{{$a, $b := 1}}", ":1: too many declarations in command"],
  ["{{range $a, 1}}{{end}}", ":1: range can only initialize variables"],
  ["{{upper 1}}", ':1:8: executing "" at <1>: expected string; found 1'],
  ["{{upper nil}}", ':1:8: executing "" at <nil>: cannot assign nil to string'],
  ['{{upper "a" "b"}}', ':1:2: executing "" at <upper>: wrong number of args for upper: want 1 got 2'],
  ["{{nil}}", ':1:2: executing "" at <nil>: nil is not a command'],
  ['{{"a" "b"}}', ':1:2: executing "" at <"a">: can\'t give argument to non-function "a"'],
  ["{{len 3}}", ':1:2: executing "" at <len 3>: error calling len: len of type int'],
  ['{{eq 1 "a"}}', ':1:2: executing "" at <eq 1 "a">: error calling eq: incompatible types for comparison'],
  ['{{slice "abc" 5}}', ':1:2: executing "" at <slice "abc" 5>: error calling slice: index out of range: 5'],
  ['{{index "abc" 5}}', ':1:2: executing "" at <index "abc" 5>: error calling index: index out of range: 5'],
  ["{{range 1.5}}{{end}}", ':1:8: executing "" at <1.5>: range can\'t iterate over 1.5'],
  ['{{(index (split "a b" " ") 0).Foo}}', ':1:27: executing "" at <0>: can\'t evaluate field Foo in type string'],
  [
    '{{index (split "a" ",") "x"}}',
    ':1:2: executing "" at <index (split "a" ",") "x">: error calling index: cannot index slice/array with type string',
  ],
  ["{{lt true false}}", ':1:2: executing "" at <lt true false>: error calling lt: invalid type for comparison'],
  ["{{$x = 1}}", ':1:7: executing "" at <1>: undefined variable: $x'],
  ["{{()}}", ":1: missing value for parenthesized pipeline"],
  ["{{if 1}}{{else foo}}{{end}}", ':1: unexpected "foo" in else'],
  ["{{..}}", ":1: unexpected <.> in operand"],
  ["{{)}}", ':1: unexpected ")" in command'],
  ["{{(1)(2)}}", ':1: unexpected "(" in operand'],
  ["{{1}2}}", ':1: unexpected "}" in operand'],
  ["{{:}}", ":1: expected :="],
  ["{{''}}", ":1: invalid syntax"],
  ['{{"\\q"}}', ":1: invalid syntax"],
];

/** Which Docker's client says differently: it knows the type of what has no such field. */
const DATA_ERRORS: [template: string, message: string][] = [
  ["é{{.Nope}}", ':1:4: executing "" at <.Nope>: can\'t evaluate field Nope'],
  [
    "\n  {{ .Config.Foo.BarBarBarBarBar }}",
    ':2:12: executing "" at <.Config.Foo.BarBarBarBarBar>: can\'t evaluate field Foo',
  ],
  ["{{.Id.Length}}", ':1:5: executing "" at <.Id.Length>: can\'t evaluate field Length in type string'],
  ["{{.Id 1}}", ':1:2: executing "" at <.Id>: Id has arguments but cannot be invoked as function'],
  ["{{upper .Size}}", ':1:8: executing "" at <.Size>: wrong type for value; expected string; got int'],
];

/** What the program prints, or the message that it ends with. */
function ask(command: string[], env: Record<string, string> = {}): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { env: { PATH: process.env["PATH"], ...env } });
  if (exitCode === 0) return stdout.toString().replace(/\n$/, "");
  const message = /template: (?:version)?(:.*)/.exec(stderr.toString())?.[1] ?? stderr.toString();
  return `error: template: ${message.replace('executing "version"', 'executing ""').trim()}`;
}
const noPodman = Bun.which("podman") ? undefined : "podman is not installed";
/** Podman's Go is older than Docker's: it has fewer of these. */
const NEWER = /range 3|else with/;

describe("podman's Go says the same", () => {
  for (const [source] of [...CONSTANT, ...ERRORS].filter(([each]) => !NEWER.test(each) && each !== "{{$}}{{.}}")) {
    testUnless(
      noPodman,
      JSON.stringify(source),
      () => {
        expect(outcome(source, {}).trimEnd()).toBe(ask(["podman", "version", "--format", source]).trimEnd());
      },
      20_000 * SLOW,
    );
  }
});

describe("templates print what Go prints", () => {
  test.each(CONSTANT)("%j", (source, result) => {
    expect(outcome(source, {})).toBe(result);
  });
  test.each(WITH_DATA)("%j", (source, result) => {
    expect(outcome(source)).toBe(result);
  });
});

describe("mistakes are told with their position", () => {
  test.each(ERRORS)("%j", (source, message) => {
    expect(outcome(source, {})).toBe(`error: template: ${message}`);
  });
  test.each(DATA_ERRORS)("%j", (source, message) => {
    expect(outcome(source)).toBe(`error: template: ${message}`);
  });
});

describe("Docker's client says the same of an image", () => {
  const directory = mkdtempSync(join(tmpdir(), "tsbox-template-"));
  const socket = join(directory, "engine.sock");
  const json = (value: unknown) =>
    JSON.stringify(value, (_, each: unknown) => {
      if (each === NO_LIST || each === NO_MAP) return null;
      return each instanceof Map ? Object.fromEntries(each) : each;
    });
  let engine: Bun.Server<undefined> | undefined;
  beforeAll(() => {
    engine = Bun.serve({
      unix: socket,
      fetch: ({ url }) =>
        new Response(url.endsWith("/images/image/json") ? json(IMAGE) : "{}", {
          headers: { "api-version": "1.50", ostype: "linux", "content-type": "application/json" },
        }),
    });
  });
  afterAll(async () => {
    await engine?.stop(true);
    rmSync(directory, { recursive: true, force: true });
  });
  const noDocker = Bun.which("docker") ? undefined : "the docker client is not installed";
  const env = { DOCKER_HOST: `unix://${socket}`, DOCKER_CONFIG: directory };
  for (const [source, result] of WITH_DATA) {
    testUnless(
      noDocker,
      JSON.stringify(source),
      async () => {
        const child = Bun.spawn(["docker", "image", "inspect", "--format", source, "image"], {
          env: { PATH: process.env["PATH"], ...env },
          stderr: "pipe",
        });
        const said = [(await child.stdout.text()).trimEnd(), await child.stderr.text()];
        expect(said).toEqual([result.trimEnd(), ""]);
      },
      20_000 * SLOW,
    );
  }
});

describe("hostile templates", () => {
  test("reach nothing but what the data itself has", () => {
    const data = { list: ["a"], map: new Map([["a", "b"]]), text: "t", number: 1, struct: { field: "f" } };
    const names = [
      "__proto__",
      "constructor",
      "prototype",
      "toString",
      "length",
      "size",
      "get",
      "hasOwnProperty",
      "at",
    ];
    for (const name of names) {
      for (const of of ["", ".list", ".map", ".text", ".number", ".struct"]) {
        for (const source of [
          `{{${of}.${name}}}`,
          `{{index ${of || "."} "${name}"}}`,
          `{{(index ${of || "."} "${name}").constructor}}`,
        ]) {
          const said = outcome(source, data);
          expect(said.startsWith("error: ") || said === "<no value>" || said === "" ? "nothing" : said).toBe("nothing");
        }
      }
    }
    // fields of these names, where the data has them, are like any other
    expect(outcome('{{.constructor}}{{index .map "__proto__"}}', JSON.parse('{"constructor":"c"}'))).toStartWith(
      "error: ",
    );
    expect(outcome("{{.constructor}}{{.toString}}", { constructor: "c", toString: 1 })).toBe("c1");
    expect(outcome("{{.a.__proto__}}", { a: JSON.parse('{"__proto__":"own"}') })).toBe("own");
  });

  test.each([
    ["{{range 1000000000}}{{range 1000000000}}x{{end}}{{end}}", "more than 1000000 steps"],
    [`{{$x := "aaaaaaaaaa"}}{{range 100}}{{$x = printf "%s%s%s" $x $x $x}}{{end}}`, "characters"],
    [`{{$x := printf "%1000000s" "a"}}{{range 1000}}{{$x}}{{end}}`, "characters"],
    [`{{$x := "a,b"}}{{range 100}}{{$x = join (split $x "") "aaaaaaaaaaaaaaaaaaaa"}}{{end}}`, "characters"],
    ["(".repeat(100_000).replace(/^/, "{{") + "1" + ")".repeat(100_000) + "}}", "parentheses more than 100 deep"],
    ["{{if 1}}".repeat(100_000), "blocks more than 100 deep"],
    [`{{if 0}}x${"{{else if 0}}x".repeat(100_000)}{{end}}`, "blocks more than 100 deep"],
    [`{{printf "%999999999d|%.999999999f" 1 1.5}}`, ""],
    [`{{pad "x" 1000000000000 1}}`, "not between"],
    [`{{1${"_1".repeat(100_000)}x}}`, "number syntax"],
    [`{{${"1".repeat(100_000)}}}`, "integer overflow"],
  ])("%# ends soon", (source, message) => {
    const started = performance.now();
    expect(outcome(source, {})).toContain(message);
    expect(performance.now() - started).toBeLessThan(5000 * SLOW);
  });

  const WORDS = [
    "{{",
    "}}",
    "{{-",
    "-}}",
    " ",
    "\n",
    ".",
    ".Id",
    ".Config",
    ".Env",
    "$",
    "$x",
    ":=",
    "=",
    "|",
    ",",
    "(",
    ")",
    '"a"',
    "`b`",
    "'c'",
    "1",
    "-2.5",
    "0x",
    "nil",
    "true",
    "if",
    "else",
    "end",
    "range",
    "with",
    "break",
    "continue",
    "define",
    "block",
    "/*",
    "*/",
    "len",
    "index",
    "printf",
    '"%d%s%v%5.2f%q%*d"',
    "json",
    "join",
    "split",
    "slice",
    "eq",
    "lt",
    "and",
    "or",
    "not",
    "upper",
    "\u0000",
    "é",
    "😀",
    "\ud800",
  ];

  test(
    "of any words, and of any text, end in text or in a mistake",
    () => {
      const ends = (source: string) => {
        const said = outcome(source);
        expect(typeof said).toBe("string");
      };
      fc.assert(
        fc.property(fc.array(fc.constantFrom(...WORDS), { maxLength: 40 }), (words) => ends(words.join(""))),
        { numRuns: 5000 },
      );
      fc.assert(
        fc.property(fc.array(fc.constantFrom(...WORDS), { maxLength: 12 }), (words) => ends(`{{${words.join(" ")}}}`)),
        { numRuns: 5000 },
      );
      fc.assert(
        fc.property(fc.string({ unit: "binary" }), (text) => ends(`{{${text}}}`)),
        { numRuns: 5000 },
      );
    },
    60_000 * SLOW,
  );
});

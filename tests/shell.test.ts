/** Lines of shell in a box: words stay words, and results are those of `Bun.$`. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Sandbox, ShellError, type TsboxError } from "../lib/index.ts";
import { shellLine } from "../lib/sandbox/shell-line.ts";
import { failureOf } from "./support/failure.ts";
import { noBusybox, testUnless } from "./support/machine.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const root = makeRootfs();
const outside = new Folder();
let box: Sandbox;
beforeAll(async () => {
  if (noBusybox === undefined) box = await Sandbox.create({ rootfs: root.path, env: { FROM: "box" } });
});
afterAll(async () => {
  await box?.stop();
  [root, outside].forEach((folder) => folder.remove());
});

const boxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, 60_000);
const shellError = async (attempt: () => PromiseLike<unknown>): Promise<ShellError> => {
  const error = await failureOf(attempt);
  if (!(error instanceof ShellError)) throw error;
  return error;
};

const HOSTILE = [
  "",
  "a b",
  "*",
  "$(echo x)",
  "`echo x`",
  "'; echo x; '",
  '"; echo x; "',
  "\\",
  "-n",
  "~",
  "a\nb",
  "$1",
  "#",
];

describe("values", () => {
  boxTest("are words, whatever is in them and whatever quotes they are in", async () => {
    for (const value of HOSTILE) {
      expect(await box.$`printf %s ${value}`.text()).toBe(value);
      expect(await box.$`printf %s "${value}"`.text()).toBe(value);
      expect(await box.$`printf %s '${value}'`.text()).toBe(value);
      expect(await box.$`printf %s a${value}"b${value}c"'d${value}e'`.text()).toBe(`a${value}b${value}cd${value}e`);
      expect(await box.$`printf %s "$(printf %sx "${value}")"`.text()).toBe(`${value}x`);
      expect(await box.$`f() { printf %s ${value} "$1"; }; f y`.text()).toBe(`${value}y`);
    }
  });

  test("never are part of the script, wherever they stand", () => {
    const place = fc.constantFrom("'", '"', "`", "$(", "(", ")", "\\", "#", " ", "\n", "<<E\n", "${", "}", "x", "|");
    const text = fc.array(place, { maxLength: 6 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, text, fc.constantFrom(...HOSTILE), (before, after, value) => {
        const { script, args } = shellLine(Object.assign([before, after], { raw: [before, after] }), [`<${value}>`]);
        expect(script).not.toContain(`<${value}>`);
        expect(args).toEqual([`<${value}>`]);
      }),
    );
  });

  boxTest("in unbalanced text do no harm: an injection that works where text is pasted", async () => {
    const value = "$(touch /tmp/injected)'\"`touch /tmp/injected`";
    await box.$`echo "${value}`.nothrow().quiet();
    await box.$`echo '${value}`.nothrow().quiet();
    await box.$`cat <<END
${value} "${value}" '${value}'
END`.quiet();
    await box.$`# it's ${value}`.quiet();
    await box.$`ls /tmp/injected`
      .throws(true)
      .quiet()
      .then(
        () => expect.unreachable(),
        () => {},
      );
    // the same, pasted
    await box.$`${{ raw: `echo "${value.slice(0, 22)}"` }}`.quiet();
    expect(await box.$`ls /tmp`.text()).toContain("injected");
  });

  boxTest("arrays are several, numbers their digits, and raw is text", async () => {
    expect(await box.$`printf '%s,' ${["a b", "c", []]} ${[]} ${1} ${2n} ${true}`.text()).toBe("a b,c,1,2,true,");
    expect(await box.$`printf '%s,' "${["a", "b"]}"`.text()).toBe("a b,");
    expect(await box.$`${{ raw: "echo a | tr a b" }}`.text()).toBe("b\n");
    expect(await box.$`echo ${{ raw: box.$.escape("it's $HOME") }}`.text()).toBe("it's $HOME\n");
  });

  test.each<[unknown, string]>([
    [undefined, "not a word"],
    [null, "not a word"],
    [{}, "not a word"],
    [() => 1, "not a word"],
    [Symbol("x"), "not a word"],
    [new Uint8Array(1), "not a word"],
    [new Response("x"), "not a word"],
    ["a\0b", "NUL"],
    [["a", ["\0"]], "NUL"],
    [{ raw: 1 }, "not a string"],
    [{ raw: "\0" }, "NUL"],
  ])("%p is not one", async (value, message) => {
    const error = await failureOf(() => shellLine(Object.assign(["a ", ""], { raw: ["a ", ""] }), [value]));
    expect([error.code, error.message]).toEqual(["invalid_option", expect.stringContaining(message)]);
  });
});

describe("text", () => {
  boxTest("of any characters is as it was written", async () => {
    expect(await box.$`printf %s 'é€😀'`.text()).toBe("é€😀");
    expect(await box.$`printf '%s' a\ b \\u00E9`.text()).toBe("a b\\u00E9");
  });
});

describe("input", () => {
  boxTest("behind < is read by that command, and by no other", async () => {
    const bytes = new TextEncoder().encode("b\na\n");
    for (const input of [bytes, new Blob([bytes]), new Response(bytes), new Blob([bytes]).stream()]) {
      expect(await box.$`cat; sort < ${input} | tr a-z A-Z; cat`.text()).toBe("A\nB\n");
    }
    expect(await box.$`cat < ${"/etc/group"}`.text()).toContain("staff");
  });

  boxTest("there is one of a line", async () => {
    const error = await failureOf(() => box.$`cat < ${new Response("a")} < ${new Response("b")}`);
    expect([error.code, error.message]).toEqual(["invalid_option", expect.stringContaining("two inputs")]);
  });
});

describe("output", () => {
  boxTest("as text, JSON, bytes, blob, and line by line", async () => {
    expect(await box.$`echo '{"a": [1]}'`.json()).toEqual({ a: [1] });
    expect([...(await box.$`printf '\377\0'`.bytes())]).toEqual([255, 0]);
    expect(await (await box.$`echo x`.blob()).text()).toBe("x\n");
    expect((await box.$`printf abc`.arrayBuffer()).byteLength).toBe(3);
    const lines: string[] = [];
    for await (const line of box.$`seq 1 30000; printf end`.lines()) lines.push(line);
    expect([lines.length, lines[0], lines.at(-1)]).toEqual([30_001, "1", "end"]);
    const { stdout, stderr, exitCode, result } = await box.$`echo out; echo err >&2`.quiet();
    expect([stdout, stderr].map((bytes) => new TextDecoder().decode(bytes))).toEqual(["out\n", "err\n"]);
    expect([exitCode, result.reason]).toEqual([0, "exit"]);
  });

  boxTest("lines that nobody reads any more end the process", async () => {
    for await (const line of box.$`echo $$; yes`.lines()) {
      expect(line).toMatch(/^\d+$/);
      break;
    }
    expect(await box.$`ps`.text()).not.toContain("yes");
  });

  boxTest("is the caller's as well, unless it is quiet or read", async () => {
    const script = outside.script(`
      await using box = await Sandbox.create({ rootfs: ${JSON.stringify(root.path)} });
      await box.$\`echo seen; echo told >&2\`;
      await box.$\`echo hidden; echo hidden >&2\`.quiet();
      await box.$\`echo hidden; echo hidden >&2\`.text();`);
    const child = Bun.spawn([process.execPath, script], { stderr: "pipe" });
    expect([await child.stdout.text(), await child.stderr.text()]).toEqual(["seen\n", "told\n"]);
  });
});

describe("a line", () => {
  boxTest("that fails is an error with what it wrote; or a result", async () => {
    const error = await shellError(() => box.$`echo out; echo why >&2; exit 3`.quiet());
    expect([error.code, error.exitCode, error.hint, error.message]).toEqual([
      "command_failed",
      3,
      "stderr: why",
      "run a line of shell: exit code 3",
    ]);
    expect([error.stdout, error.stderr].map((bytes) => new TextDecoder().decode(bytes))).toEqual(["out\n", "why\n"]);
    expect((await box.$`exit 3`.nothrow()).exitCode).toBe(3);
    expect((await box.$`kill -9 $$`.nothrow().quiet()).exitCode).toBe(137);
    expect(await box.$`echo x; false`.nothrow().text()).toBe("x\n");
    expect((await shellError(() => box.$`false`.text())).exitCode).toBe(1);
    const reading = async () => {
      for await (const _ of box.$`echo x; exit 4`.lines());
    };
    expect((await shellError(reading)).exitCode).toBe(4);
  });

  boxTest("has a working directory and variables of its own", async () => {
    expect(await box.$`pwd; echo $FROM $ADDED`.cwd("/tmp").env({ ADDED: "line" }).text()).toBe("/tmp\nbox line\n");
  });

  boxTest("runs once, when it is waited for", async () => {
    const line = box.$`echo x >>/tmp/once`.quiet();
    await Bun.sleep(50);
    expect(await box.$`cat /tmp/once`.nothrow().text()).toBe("");
    await Promise.all([line, line.run(), line.text()]);
    expect(await box.$`cat /tmp/once`.text()).toBe("x\n");
    expect((await failureOf(() => line.cwd("/"))).code).toBe("invalid_option");
    expect((await failureOf(() => line.lines().next())).code).toBe("invalid_option");
  });

  boxTest("is killed by its signal, and rejects with its reason", async () => {
    const abort = new AbortController();
    setTimeout(() => abort.abort(new Error("enough")), 100);
    const started = performance.now();
    await expect(box.$`sleep 100`.signal(abort.signal).run()).rejects.toThrow("enough");
    expect(performance.now() - started).toBeLessThan(5000);
  });

  boxTest("that is aborted ends with all that it has started, at whatever moment", async () => {
    for (const ms of [0, 1, 2, 4, 8, 30]) {
      const line = box.$`sleep 9${ms}; echo`.signal(AbortSignal.timeout(ms));
      await expect(line.text()).rejects.toThrow("timed out");
    }
    expect(await box.$`ps | grep "sleep 9" | grep -v grep || true`.text()).toBe("");
  });

  boxTest("is not waited for by what has got away from it and holds its output", async () => {
    const line = box.$`setsid sleep 20 & sleep 100`.signal(AbortSignal.timeout(50));
    await expect(line.text()).rejects.toThrow("timed out");
    const [abort, started] = [new AbortController(), performance.now()];
    const reading = async () => {
      for await (const _ of box.$`(setsid sleep 20 &); echo away; sleep 100`.signal(abort.signal).lines())
        abort.abort(new Error("enough"));
    };
    await expect(reading()).rejects.toThrow("enough");
    expect(performance.now() - started).toBeLessThan(10_000);
    await box.$`killall sleep || pkill sleep || kill $(pidof sleep)`.quiet().nothrow();
  });

  boxTest("that writes more than a box may is told so, whoever of it writes", async () => {
    await using small = await Sandbox.create({ rootfs: root.path, limits: { output: "64k" } });
    const { stdout, result } = await small.$`yes | cat`.nothrow().quiet();
    expect([stdout.length, result.reason]).toEqual([65536, "output"]);
  });

  boxTest("refuses what is not an option", async () => {
    const none = undefined as never;
    const attempts: [() => unknown, string][] = [
      [() => box.$`x`.cwd(1 as never).run(), "working directory"],
      [() => box.$`x`.cwd("relative").run(), "working directory"],
      [() => box.$`x`.env("A=1" as never).run(), "environment"],
      [() => box.$`x`.env({ "A=": "1" }).run(), "variable"],
      [() => box.$`x`.env({ A: 1 as never }).run(), "A"],
      [() => box.$`x`.signal({} as never), "signal"],
      [() => box.$`x`.quiet("yes" as never), "quiet"],
      [() => box.$`x`.throws(1 as never), "throws"],
      [() => box.$("echo x" as never), "template"],
      [() => box.$(none), "template"],
    ];
    for (const [attempt, what] of attempts) {
      const error: TsboxError = await failureOf(attempt);
      expect([error.code, error.message]).toEqual(["invalid_option", expect.stringContaining(what)]);
    }
  });

  boxTest("of a box that has ended is an error", async () => {
    await using other = await Sandbox.create({ rootfs: root.path });
    await other.stop();
    expect((await failureOf(() => other.$`true`.run())).code).toBe("sandbox_closed");
  });
});

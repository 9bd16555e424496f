/** Labels of AppArmor and SELinux: told where nothing can be in between, and what they do where the kernel has them. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseConfig } from "../lib/oci/config.ts";
import { template } from "../lib/oci/template.ts";
import { compileContainer, compileExec, startSteps, type Facts, type StartableSpec } from "../lib/plan/index.ts";
import type { ContainerSpec } from "../lib/spec/index.ts";
import { ARCH, printPlan } from "../syscalls/index.ts";
import { APPARMOR, LoadedProfile, PROFILE } from "./support/apparmor.ts";
import { ociAs, ociIn, runtimeIn } from "./support/oci.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const facts = (modules?: Facts["modules"]): Facts => ({
  arch: ARCH,
  privileged: true,
  sources: new Map(),
  kernelPaths: new Map(),
  cgroup: { tasks: 0, into: false },
  hierarchies: { v1: [], v2: true },
  ...(modules && { modules }),
});
const BESIDE = {
  id: "c",
  bundle: "/b",
  moved: false,
  preserved: 2,
  pivot: true,
  keyring: false,
  given: [],
  piped: false,
};

type Labels = { apparmorProfile?: string; selinuxLabel?: string; mountLabel?: string };

function labelled({ mountLabel, ...labels }: Labels): StartableSpec {
  const spec = template({ unified: true });
  const seccomp = { defaultAction: "SCMP_ACT_ALLOW" } as const;
  const process = { ...spec.process!, terminal: false, ...labels };
  return { ...spec, process, linux: { ...spec.linux, seccomp, ...(mountLabel !== undefined && { mountLabel }) } };
}

const created = (labels: Labels, modules?: Facts["modules"]) =>
  printPlan(compileContainer(labelled(labels), BESIDE, facts(modules)).plan);
const joined = (labels: Labels, modules?: Facts["modules"]) =>
  printPlan(compileExec(labelled(labels), 0, facts(modules)));

const BOTH = { apparmor: true, selinux: true };
const NEITHER = { apparmor: false, selinux: false };

describe("a plan", () => {
  /** The first places of these texts, one behind the other. */
  function expectInOrder(plan: string, ...texts: string[]): void {
    const places = texts.map((text) => [text, plan.indexOf(text)] as const);
    expect(places.filter(([, at]) => at < 0)).toEqual([]);
    expect(places.map(([text]) => text)).toEqual(places.toSorted(([, a], [, b]) => a - b).map(([text]) => text));
  }

  test("tells a profile to the host's own /proc, as the user that the command is, before the filter", () => {
    expectInOrder(
      created({ apparmorProfile: "docker-default" }, BOTH),
      'openat(AT_FDCWD, "/proc", O_PATH|O_CLOEXEC, 0)',
      "pivot_root(",
      "# become user 0:0",
      "# wait to be started",
      'openat(proc, "self/attr/apparmor/exec", O_WRONLY|O_CLOEXEC, 0)',
      'openat(proc, "self/attr/exec", O_WRONLY|O_CLOEXEC, 0)',
      'write(attribute, "exec docker-default", 19)',
      "close(proc)",
      "seccomp(",
    );
  });

  test("the same of what joins: before it sees what the container has mounted", () => {
    expectInOrder(
      joined({ selinuxLabel: "u:r:t:s0" }, BOTH),
      'openat(AT_FDCWD, "/proc", O_PATH|O_CLOEXEC, 0)',
      "setns(",
      "# become user 0:0",
      'openat(control+1, "self/attr/exec", O_WRONLY|O_CLOEXEC, 0)',
      'write(attribute, "u:r:t:s0", 8)',
      "close(control+1)",
      "seccomp(",
    );
  });

  test("opens nothing without labels, or for modules that the kernel does not run with", () => {
    for (const plan of [
      created({}, BOTH),
      created({ apparmorProfile: "a" }, NEITHER),
      created({ apparmorProfile: "a" }),
      joined({ apparmorProfile: "a" }, NEITHER),
      created({ mountLabel: "a:b" }, NEITHER),
    ]) {
      expect(plan).not.toContain('"/proc", O_PATH');
      expect(plan).not.toContain("attr/");
      expect(plan).not.toContain("context");
    }
  });

  test("whoever explains a failure after the start counts the same steps", () => {
    for (const modules of [BOTH, NEITHER]) {
      const spec = labelled({ apparmorProfile: "a" });
      const { plan } = compileContainer(spec, BESIDE, facts(modules));
      const last = startSteps(spec, { arch: ARCH, modules });
      expect(plan.slice(-last.length).map(({ action }) => action)).toEqual(last.map(({ action }) => action));
    }
  });

  test("a label of SELinux without SELinux is an error", () => {
    for (const plan of [created, joined])
      expect(() => plan({ selinuxLabel: "a" }, NEITHER)).toThrow("selinux is disabled or not supported");
  });

  test("file systems of the container's own get its context, but for those that the kernel labels", () => {
    const plan = created({ mountLabel: "u:object_r:t:s0:c1,c2" }, BOTH);
    const made = [...plan.matchAll(/# make a (\w+) for ([^\n]*)\n([^#]*)/g)].map(([, type, where, ops]) => [
      type,
      where,
      ops?.includes('FSCONFIG_SET_STRING, "context", "u:object_r:t:s0:c1,c2"'),
    ]);
    expect(made).toEqual([
      ["tmpfs", "a cover for directories", true],
      ["proc", '"/proc"', false],
      ["tmpfs", '"/dev"', true],
      ["devpts", '"/dev/pts"', true],
      ["tmpfs", '"/dev/shm"', true],
      ["mqueue", '"/dev/mqueue"', false],
      ["sysfs", '"/sys"', false],
      ["cgroup2", '"/sys/fs/cgroup"', false],
    ]);
  });
});

describe("a container", () => {
  const folder = new Folder();
  const rootfs = makeRootfs();
  afterAll(() => {
    folder.remove();
    rootfs.remove();
  });
  const runtime = runtimeIn(folder);
  const oci = ociIn(runtime);
  const unified = existsSync("/sys/fs/cgroup/cgroup.controllers");

  function run(id: string, command: string, change: (spec: ContainerSpec) => void) {
    const spec = template({ unified });
    const process = { ...spec.process!, terminal: false, args: ["sh", "-c", command] };
    const bundled: ContainerSpec = { ...spec, process, root: { path: rootfs.path, readonly: true } };
    change(bundled);
    parseConfig(JSON.stringify(bundled));
    const bundle = folder.directory(id);
    writeFileSync(join(bundle, "config.json"), JSON.stringify(bundled));
    return oci("run", "--bundle", bundle, id);
  }

  const isRoot = process.getuid?.() === 0;

  test.skipIf(!isRoot || APPARMOR)("runs with a profile where there is no AppArmor, and says so", () => {
    const { stdout, stderr, status } = run("ignored", "echo here", ({ process }) => {
      process!.apparmorProfile = "acme_secure_profile";
    });
    expect([status, stdout]).toEqual([0, "here\n"]);
    expect(stderr).toContain('ignoring the AppArmor profile \\"acme_secure_profile\\"');
  });

  test.skipIf(!isRoot)("does not start with a label of SELinux where there is none", () => {
    const { stderr, status } = run("refused", "echo here", ({ process }) => {
      process!.selinuxLabel = "system_u:system_r:svirt_lxc_net_t:s0:c124,c675";
    });
    expect(status).toBe(1);
    expect(stderr).toContain("selinux is disabled or not supported");
  });

  describe.skipIf(!APPARMOR)("with AppArmor", () => {
    const confined = ({ process }: ContainerSpec) => void (process!.apparmorProfile = PROFILE);

    test("is confined, whoever it is, and with a filter or without", () => {
      using _ = new LoadedProfile(folder);
      const look = "cat /proc/self/attr/current; cat /etc/group | head -n 1; cat /etc/passwd";
      const changes: ((spec: ContainerSpec) => void)[] = [
        () => {},
        ({ process }) => (process!.user = { uid: 1000, gid: 1000 }),
        ({ process, linux }) => {
          process!.noNewPrivileges = false;
          linux.seccomp = { defaultAction: "SCMP_ACT_ALLOW" };
        },
        ({ linux }) => {
          linux.namespaces.push({ type: "user" });
          linux.uidMappings = linux.gidMappings = [{ containerID: 0, hostID: 0, size: 65536 }];
        },
      ];
      changes.forEach((change, index) => {
        const { stdout, stderr, status } = run(`confined${index}`, look, (spec) => {
          confined(spec);
          change(spec);
        });
        expect([stdout, status]).toEqual([`${PROFILE} (enforce)\nroot:x:0:\n`, 1]);
        expect(stderr).toContain("Permission denied");
      });
    });

    test("is confined although it mounts something of its own on /proc", () => {
      using _ = new LoadedProfile(folder);
      const fake = folder.directory("fake");
      folder.write("fake/self/attr/apparmor/exec", "");
      folder.write("fake/self/attr/exec", "");
      const { stdout, status } = run("faked", "cat /real/self/attr/current", (spec) => {
        confined(spec);
        spec.mounts = [
          { destination: "/real", type: "proc", source: "proc" },
          { destination: "/proc", type: "bind", source: fake, options: ["rbind"] },
          ...spec.mounts.filter(({ destination }) => destination !== "/proc"),
        ];
        spec.root.readonly = false;
        spec.linux.maskedPaths = [];
        spec.linux.readonlyPaths = [];
      });
      expect([stdout, status]).toEqual([`${PROFILE} (enforce)\n`, 0]);
    });

    test("does not start with a profile that is not loaded", () => {
      const { stdout, stderr, status } = run("unknown", "echo here", ({ process }) => {
        process!.apparmorProfile = "tsbox-no-such-profile";
      });
      expect([status, stdout]).toEqual([1, ""]);
      expect(stderr).toContain("no profile of this name is loaded");
    });

    test("is joined by processes that are confined", () => {
      using _ = new LoadedProfile(folder);
      const spec = template({ unified });
      const bundle = folder.directory("joined");
      const process = { ...spec.process!, terminal: false, args: ["sh", "-c", "while :; do sleep 1; done"] };
      writeFileSync(
        join(bundle, "config.json"),
        JSON.stringify({ ...spec, process, root: { path: rootfs.path, readonly: true } }),
      );
      const made = ociAs({ leaves: true }, "--root", runtime.root, "create", "--bundle", bundle, "joined");
      expect(made.status).toBe(0);
      try {
        expect(oci("start", "joined").status).toBe(0);
        const look = ["cat", "/proc/self/attr/current"];
        expect(oci("exec", "joined", ...look).stdout).toBe("unconfined\n");
        expect(oci("exec", "--apparmor", PROFILE, "joined", ...look).stdout).toBe(`${PROFILE} (enforce)\n`);
      } finally {
        oci("delete", "--force", "joined");
      }
    });
  });
});

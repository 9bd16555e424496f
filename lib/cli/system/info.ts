/** `tsbox info`: of what is here, in Docker's words. @module @see https://docs.docker.com/reference/cli/docker/system/info/ */
import { version } from "../../../package.json" with { type: "json" };
import { findHierarchies } from "../../cgroup/index.ts";
import type { ContainerRecord } from "../../containers/index.ts";
import { defaultRoot } from "../../store/index.ts";
import { binarySize } from "../containers/stats.ts";
import { declare, type Add } from "../images/declare.ts";
import { forStdout, rendered } from "../images/rows.ts";
import { safely } from "../images/with-images.ts";
import { print } from "../print.ts";
import { INSPECT_FORMAT } from "../print-inspected.ts";
import { safeWord } from "../safe-text.ts";

export const addInfo: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Show what there is here, and what it runs on",
      usage: "[--format FORMAT]",
      flags: [INSPECT_FORMAT],
    },
    ({ format = "" }: { format?: string }) =>
      safely(async () => {
        const info = await infoOf();
        const source = format === "json" ? "{{json .}}" : format;
        const hint = `what there is: ${Object.keys(info)
          .map((each) => `.${each}`)
          .join(" ")}`;
        print(
          source === "" ? textOf(info) : rendered(source, hint, (line) => `${line(info, { show: forStdout() })}\n`),
        );
      }),
  );

const OS_RELEASE = "/etc/os-release";

async function infoOf() {
  const { Tsbox } = await import("../../engine/index.ts");
  const { cpus, hostname, release, totalmem } = await import("node:os");
  const { existsSync, readFileSync } = await import("node:fs");
  const about = existsSync(OS_RELEASE) ? readFileSync(OS_RELEASE, "utf8") : "";
  using engine = new Tsbox();
  const all = await engine.containers.list({ all: true });
  const count = (...statuses: ContainerRecord["status"][]) =>
    all.filter(({ status }) => statuses.includes(status)).length;
  const [running, paused] = [count("running", "restarting", "starting"), count("paused")];
  const isRootless = process.geteuid?.() !== 0;
  return {
    Containers: all.length,
    ContainersRunning: running,
    ContainersPaused: paused,
    ContainersStopped: all.length - running - paused,
    Images: (await engine.images.list()).length,
    ServerVersion: version,
    Driver: "overlay",
    CgroupDriver: "cgroupfs",
    CgroupVersion: findHierarchies().v1.has("memory") ? "1" : "2",
    DefaultRuntime: "tsbox",
    SecurityOptions: ["name=seccomp,profile=builtin", ...(isRootless ? ["name=rootless"] : []), "name=cgroupns"],
    KernelVersion: release(),
    OperatingSystem: /^PRETTY_NAME="?([^"\n]*)/m.exec(about)?.[1] ?? "Linux",
    OSType: "linux",
    Architecture: process.arch === "arm64" ? "aarch64" : "x86_64",
    NCPU: cpus().length,
    MemTotal: totalmem(),
    Name: hostname(),
    DockerRootDir: defaultRoot(),
  };
}

function textOf(info: Awaited<ReturnType<typeof infoOf>>): string {
  const lines: [name: string, value: string | number][] = [
    ["Containers", info.Containers],
    [" Running", info.ContainersRunning],
    [" Paused", info.ContainersPaused],
    [" Stopped", info.ContainersStopped],
    ["Images", info.Images],
    ["Server Version", info.ServerVersion],
    ["Storage Driver", info.Driver],
    ["Cgroup Driver", info.CgroupDriver],
    ["Cgroup Version", info.CgroupVersion],
    ["Security Options", info.SecurityOptions.join(" ")],
    ["Kernel Version", info.KernelVersion],
    ["Operating System", info.OperatingSystem],
    ["OSType", info.OSType],
    ["Architecture", info.Architecture],
    ["CPUs", info.NCPU],
    ["Total Memory", binarySize(info.MemTotal)],
    ["Name", info.Name],
    ["Docker Root Dir", info.DockerRootDir],
  ];
  return lines.map(([name, value]) => `${name}: ${safeWord(String(value))}\n`).join("");
}

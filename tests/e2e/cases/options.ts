/** Flags of `run` that say what a container is. @module */
import { expect } from "bun:test";
import { e2e } from "../case.ts";
import { BOX, FULL } from "../images.ts";

e2e("-w is the working directory, which is made", async (c) => {
  expect(await c.ok("run", "-w", "/made/for/it", BOX, "pwd")).toBe("/made/for/it");
});

e2e("the image's working directory is taken", async (c) => {
  expect(await c.sh([], "pwd", FULL)).toBe("/work");
});

e2e("-u takes numbers", async (c) => {
  expect(await c.sh(["-u", "1000:2000"], "id -u; id -g")).toBe("1000\n2000");
});

e2e(
  "-u takes names of the container, with their groups",
  async (c) => {
    expect(await c.sh(["-u", "app"], "id -u; id -g; id -G; echo $HOME")).toBe("1000\n1001\n1001 2000\n/home/app");
  },
  "root",
);

e2e("-u of nobody that the container knows is an error", async (c) => {
  const said = await c.call(["run", "-u", "nobody-knows", BOX, "true"]);
  expect([said.status >= 125, said.stderr.includes("nobody-knows")]).toEqual([true, true]);
});

e2e("the image's user is taken", async (c) => {
  expect(await c.sh([], "id -u", FULL)).toBe("1000");
});

e2e(
  "--group-add adds groups, by number or name",
  async (c) => {
    expect(await c.sh(["--group-add", "data", "--group-add", "3000"], "id -G")).toBe("0 2000 3000");
  },
  "root",
);

e2e("-h is the hostname, also in /etc/hostname and /etc/hosts", async (c) => {
  expect(await c.sh(["-h", "web.example"], "hostname; cat /etc/hostname")).toBe("web.example\nweb.example");
});

e2e("--add-host adds a line to /etc/hosts", async (c) => {
  expect(await c.sh(["--add-host", "db:10.1.2.3"], "grep -w db /etc/hosts")).toMatch(/^10\.1\.2\.3\s+db$/);
});

e2e("--dns, --dns-search and --dns-option are in /etc/resolv.conf", async (c) => {
  const flags = ["--network", "host", "--dns", "10.9.8.7", "--dns-search", "e2e.test", "--dns-option", "ndots:3"];
  const lines = (await c.sh(flags, "cat /etc/resolv.conf")).split("\n");
  expect(lines).toEqual(expect.arrayContaining(["nameserver 10.9.8.7", "search e2e.test", "options ndots:3"]));
});

e2e("--network none has a loopback only", async (c) => {
  expect(await c.sh(["--network", "none"], "cd /sys/class/net && echo *")).toBe("lo");
});

e2e("--network host is the host's", async (c) => {
  const here = (await Bun.file("/proc/self/net/dev").text()).split("\n").length;
  expect(await c.sh(["--network", "host"], "wc -l </proc/self/net/dev")).toBe(`${here - 1}`);
});

e2e("--network container:NAME is another container's", async (c) => {
  const other = await c.up();
  const theirs = await c.ok("exec", other, "readlink", "/proc/self/ns/net");
  expect(await c.ok("run", "--rm", "--network", `container:${other}`, BOX, "readlink", "/proc/self/ns/net")).toBe(
    theirs,
  );
});

e2e("--pid host sees the host's processes", async (c) => {
  const pid = `${process.pid}`;
  expect(await c.sh(["--pid", "host"], `test -d /proc/${pid} && echo seen`)).toBe("seen");
});

e2e("--pid container:NAME sees another container's processes", async (c) => {
  const other = await c.up([], ["sleep", "4321"]);
  expect(await c.ok("run", "--rm", "--pid", `container:${other}`, BOX, "ps")).toContain("sleep 4321");
});

e2e("a container sees its own processes only", async (c) => {
  expect(await c.sh([], "ls -d /proc/[0-9]* | wc -l")).toMatch(/^[1-9]$/);
});

e2e("--read-only refuses to be written to", async (c) => {
  expect(await c.sh(["--read-only"], "echo x >/file || echo refused")).toContain("refused\n");
});

e2e("--tmpfs can be written to in a read-only container", async (c) => {
  expect(await c.sh(["--read-only", "--tmpfs", "/scratch"], "echo x >/scratch/file && cat /scratch/file")).toBe("x");
});

e2e("--tmpfs has options", async (c) => {
  const shown = await c.sh(
    ["--tmpfs", "/scratch:size=1m,mode=1770"],
    "stat -c %a /scratch; df -k /scratch | tail -n 1",
  );
  expect(shown).toMatch(/^1770\n\w+\s+1024 /);
});

e2e("--shm-size is the size of /dev/shm, 64 MB where none is given", async (c) => {
  expect(await c.sh([], "df -k /dev/shm | tail -n 1")).toMatch(/\s65536 /);
  expect(await c.sh(["--shm-size", "1m"], "df -k /dev/shm | tail -n 1")).toMatch(/\s1024 /);
});

e2e(
  "-m is a limit that inspect tells in bytes",
  async (c) => {
    const id = await c.ok("create", "-m", "64m", "--memory-reservation", "32m", BOX, "true");
    expect(await c.inspect(id, "{{.HostConfig.Memory}} {{.HostConfig.MemoryReservation}}")).toBe("67108864 33554432");
  },
  "limits",
);

e2e(
  "who uses more memory than -m allows is killed, with 137 and OOMKilled",
  async (c) => {
    const name = c.name();
    const fill = "head -c 200000000 /dev/zero | tail >/dev/null; exec tail -c 200000000 /dev/zero";
    const { status } = await c.call([
      "run",
      "--name",
      name,
      "-m",
      "32m",
      "--memory-swap",
      "32m",
      BOX,
      "sh",
      "-c",
      fill,
    ]);
    expect([status, await c.inspect(name, "{{.State.OOMKilled}}")]).toEqual([137, "true"]);
  },
  "limits",
);

e2e(
  "--pids-limit is kept",
  async (c) => {
    const script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done 2>/dev/null; echo never";
    const { stderr, stdout } = await c.call(["run", "--rm", "--pids-limit", "6", BOX, "sh", "-c", script]);
    expect(stdout + stderr).not.toBe("never\n");
  },
  "limits",
);

e2e(
  "--cpus is told as NanoCpus",
  async (c) => {
    const id = await c.ok("create", "--cpus", "0.5", BOX, "true");
    expect(await c.inspect(id, "{{.HostConfig.NanoCpus}}")).toBe("500000000");
  },
  "limits",
);

e2e("--ulimit sets both limits", async (c) => {
  expect(await c.sh(["--ulimit", "nofile=100:200"], "ulimit -Sn; ulimit -Hn")).toBe("100\n200");
});

e2e("--cap-drop ALL leaves no capability", async (c) => {
  expect(await c.sh(["--cap-drop", "ALL"], "grep CapEff /proc/self/status")).toBe("CapEff:\t0000000000000000");
});

e2e("--cap-drop ALL and --cap-add leave one", async (c) => {
  expect(await c.sh(["--cap-drop", "ALL", "--cap-add", "CHOWN"], "grep CapEff /proc/self/status")).toBe(
    "CapEff:\t0000000000000001",
  );
});

e2e("a user other than root has no effective capabilities", async (c) => {
  expect(await c.sh(["-u", "1000"], "grep CapEff /proc/self/status")).toBe("CapEff:\t0000000000000000");
});

e2e("--security-opt no-new-privileges is set", async (c) => {
  expect(await c.sh(["--security-opt", "no-new-privileges"], "grep NoNewPrivs /proc/self/status")).toBe(
    "NoNewPrivs:\t1",
  );
});

e2e(
  "--privileged has no filter, whatever is dropped beside it, and makes devices and mounts",
  async (c) => {
    const line = "grep -w Seccomp: /proc/self/status; mknod /n c 1 3 && mount -t tmpfs t /mnt && echo >/n && echo made";
    expect(await c.sh(["--privileged", "--cap-drop", "ALL"], `mkdir -p /mnt; ${line}`)).toBe("Seccomp:\t0\nmade");
    const id = await c.ok("create", "--privileged", BOX, "true");
    expect(await c.inspect(id, "{{.HostConfig.Privileged}}")).toBe("true");
  },
  "root",
);

e2e("--sysctl is set in the container's namespaces", async (c) => {
  expect(await c.sh(["--sysctl", "net.ipv4.ip_forward=1"], "cat /proc/sys/net/ipv4/ip_forward")).toBe("1");
});

e2e("a user other than root serves port 80, unless --sysctl says otherwise", async (c) => {
  const serve = "echo served >/tmp/x; httpd -p 80 -h /tmp && wget -qO- http://127.0.0.1/x || echo refused";
  const user = ["--user", "1000:1000"];
  expect(await c.sh(user, serve)).toBe("served");
  expect(await c.sh([...user, "--network", "none"], serve)).toBe("served");
  const start = "net.ipv4.ip_unprivileged_port_start=1024";
  expect(await c.sh([...user, "--sysctl", start], `${serve} 2>&1`)).toContain("refused");
});

e2e("--init is an init as pid 1, which has the command as its child", async (c) => {
  const name = await c.up(["--init"], ["sleep", "4322"]);
  const [one, rest] = [await c.ok("exec", name, "cat", "/proc/1/comm"), await c.ok("exec", name, "ps")];
  expect([one === "sleep", rest.includes("sleep 4322")]).toEqual([false, true]);
});

e2e("the command is pid 1", async (c) => {
  expect(await c.ok("run", "--rm", BOX, "sh", "-c", "echo $$")).toBe("1");
});

e2e("--oom-score-adj is set", async (c) => {
  expect(await c.ok("run", "--rm", "--oom-score-adj", "500", BOX, "cat", "/proc/self/oom_score_adj")).toBe("500");
});

e2e("--uts host has the host's name", async (c) => {
  const here = (await Bun.file("/proc/sys/kernel/hostname").text()).trim();
  expect(await c.sh(["--uts", "host"], "hostname")).toBe(here);
});

e2e("--stop-signal and --stop-timeout are told by inspect", async (c) => {
  const id = await c.ok("create", "--stop-signal", "SIGINT", "--stop-timeout", "3", BOX, "true");
  expect(await c.inspect(id, "{{.Config.StopSignal}} {{.Config.StopTimeout}}")).toBe("SIGINT 3");
});

e2e("--log-driver none keeps nothing, so logs refuses", async (c) => {
  const name = await c.up(["--log-driver", "none"]);
  expect(await c.fails(1, "logs", name)).toContain("configured logging driver does not support reading");
});

e2e("--log-opt max-size and max-file are told by inspect", async (c) => {
  const flags = ["--log-driver", "json-file", "--log-opt", "max-size=1m", "--log-opt", "max-file=3"];
  const id = await c.ok("create", ...flags, BOX, "true");
  const shown = await c.inspect(id, '{{.HostConfig.LogConfig.Type}} {{index .HostConfig.LogConfig.Config "max-size"}}');
  expect(shown).toBe("json-file 1m");
});

e2e("an unknown log driver is an error", async (c) => {
  expect(await c.fails(125, "run", "-d", "--log-driver", "no-such", BOX, "true")).toContain("no-such");
});

e2e("sizes that are none are errors", async (c) => {
  for (const flags of [
    ["-m", "much"],
    ["--shm-size", "x"],
    ["--cpus", "many"],
  ])
    expect([flags, (await c.call(["run", "--rm", ...flags, BOX, "true"])).status]).toEqual([flags, 125]);
});

e2e(
  "a limit of memory below 6 MB is refused",
  async (c) => {
    expect(await c.fails(125, "run", "-m", "1m", BOX, "true")).toContain("Minimum memory limit allowed is 6MB");
  },
  "limits",
);

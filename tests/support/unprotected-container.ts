/** Containers of a bundle with a step of their plan left out, or something put in: what an attack comes to without it. @module */
import { openSync } from "node:fs";
import {
  Directory,
  listenIn,
  connectSocket,
  close,
  Descriptors,
  elfImage,
  Program,
  send,
  sealedFile,
  ARCH,
  readFile,
} from "../../syscalls/index.ts";
import { bindControl, bury, factsFor, start } from "../../lib/launch/index.ts";
import { compileContainer, type ContainerBeside } from "../../lib/plan/index.ts";
import type { Plan } from "../../syscalls/index.ts";
// not faces: what the runtime does in one go is taken apart here
import { readConfig } from "../../lib/oci/config.ts";
import { startable } from "../../lib/oci/startable.ts";
import { Folder } from "./rootfs.ts";

/** Without cgroups and hooks. @returns what the command printed, and its wait status @throws TsboxError as `create` */
export async function runContainer(
  bundle: string,
  change: (plan: Plan) => Plan,
): Promise<[output: string, status: number]> {
  using folder = new Folder();
  using directory = Directory.open(folder.path) as Directory;
  using opened = new Descriptors();
  const options = { bundle, pivot: true, newKeyring: false, listenFds: 0, preserveFds: 0 };
  const spec = startable(readConfig(bundle).spec, options);
  const beside: ContainerBeside = {
    id: "unprotected",
    bundle,
    moved: false,
    preserved: 0,
    pivot: true,
    keyring: false,
    given: [],
    piped: false,
  };
  const compiled = compileContainer(
    spec,
    beside,
    factsFor({ ...spec, linux: { ...spec.linux, maskedPaths: [], readonlyPaths: [] } }, { tasks: 0, into: false }),
  );
  const plan = change(compiled.plan);
  const output = folder.write("output");
  const stdout = opened.add(openSync(output, "w"));
  const bound: Record<string, number> = {
    stdin: opened.add(openSync("/dev/null", "r")),
    stdout,
    stderr: stdout,
    start: opened.add(listenIn(directory.fd, "start.sock")),
  };
  const control = bindControl(bound, opened);
  bound["command-image"] = opened.add(
    sealedFile("tsbox-create", elfImage(new Program(plan, ARCH, "image"), {}, 3), 0o111),
  );
  const launched = start({ compiled: { ...compiled, plan }, program: new Program(plan, ARCH) }, bound, control, plan);
  const { failure } = await launched.control.told;
  if (failure) {
    await bury(launched);
    throw failure;
  }
  launched.control.send(1); // it is known
  const socket = connectSocket(`${folder.path}/start.sock`);
  send(socket, Uint8Array.of(1));
  const status = await bury(launched);
  close(socket);
  return [new TextDecoder().decode(readFile(output)), status];
}

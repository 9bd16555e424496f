/** A network as `--network` names it: `web`, or `name=web,alias=db,ip=10.0.0.2,ip6=fd00::2,mac-address=02:00:00:00:00:02`. @module */
import type { ContainerNetwork } from "../../containers/index.ts";
import { isMac } from "../../ip/index.ts";
import { invalid } from "../invalid.ts";

const FIELDS = ["name", "alias", "ip", "ip6", "mac-address"];

/** @throws TsboxError `invalid_option` */
export function networkOf(text: string): ContainerNetwork {
  if (!text.includes("=")) return { name: text };
  const fields = text.split(",").map((field): [key: string, value: string] => {
    const [key = "", value = ""] = field.split(/=(.*)/s, 2);
    if (!FIELDS.includes(key)) throw invalid("--network", text, `invalid field key ${key}`, `${FIELDS.join("=, ")}=`);
    return [key, value];
  });
  const all = (key: string) => fields.flatMap(([each, value]) => (each === key ? [value] : []));
  const [name] = all("name");
  if (name === undefined || name === "") throw invalid("--network", text, "network name/id is not specified", "name=");
  const [aliases, [mac]] = [all("alias"), all("mac-address")];
  const addresses = [
    ...all("ip").map((each) => addressOf("--network", each, 4)),
    ...all("ip6").map((each) => addressOf("--network", each, 6)),
  ];
  return {
    name,
    ...(aliases.length > 0 ? { aliases } : {}),
    ...(addresses.length > 0 ? { addresses } : {}),
    ...(mac === undefined ? {} : { mac: macAddress("--network", mac) }),
  };
}

/** @throws TsboxError `invalid_option` */
export function addressOf(flag: string, text: string, family: 4 | 6): string {
  if (process.getBuiltinModule("node:net").isIP(text) === family) return text;
  throw invalid(flag, text, `${text} is not an ip address${family === 6 ? " of version 6" : ""}`);
}

/** @throws TsboxError `invalid_option` */
export function macAddress(flag: string, text: string): string {
  if (isMac(text)) return text.toLowerCase();
  throw invalid(flag, text, `${text} is not a valid mac address`, '"02:42:ac:11:00:02"');
}

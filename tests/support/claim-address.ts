/** `ROOT NETWORK NUMBER`: claims an address in a network, and prints it. @module */
import { bareAddresses, Networks } from "../../lib/network/index.ts";
import { State } from "../../lib/state/index.ts";

const [root = "", network = "", number = ""] = process.argv.slice(2);
const state = new State(root);
const container = number.padStart(64, "c");
const endpoint = new Networks(() => state).claim(network, { container, name: `c${number}`, inside: "eth0" }, []);
console.log(bareAddresses(endpoint).join());

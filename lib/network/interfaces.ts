/** What has gone through network devices, as whoever is in their namespace counts it. @module @see proc_pid_net(5) */

export interface NetworkInterface {
  name: string;
  receivedBytes: number;
  sentBytes: number;
}

/** Of /proc/net/dev. Pure. */
export function interfacesIn(text: string): NetworkInterface[] {
  return text.split("\n").flatMap((line) => {
    const [, name, fields = ""] = /^\s*([^:|]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined) return [];
    // received: bytes, packets, errors, …, eight of them; then what was sent
    const numbers = fields.split(/\s+/).map(Number);
    return [{ name, receivedBytes: numbers[0] || 0, sentBytes: numbers[8] || 0 }];
  });
}

/** Of all but the loopback. Pure. */
export function bytesThrough(text: string): { inBytes: number; outBytes: number } {
  const others = interfacesIn(text).filter(({ name }) => name !== "lo");
  return {
    inBytes: others.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0),
    outBytes: others.reduce((sum, { sentBytes }) => sum + sentBytes, 0),
  };
}

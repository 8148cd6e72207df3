/** What the mesh's names are answered with. */

import type { Found, NameTable, TableEntry } from './name-table.ts';
import { canonicalName } from './names.ts';
import { type DnsRecord, type Question, RCODE, TYPE } from './protocol.ts';
import type { Answer } from './write-message.ts';

/** Istio's: low, so that clients which honour it follow changes. */
const TTL_SECONDS = 30;

const NO_NAME: Answer = { rcode: RCODE.NXDOMAIN, authoritative: true, answers: [] };

/**
 * @param random [0, 1): the order of addresses differs from answer to answer
 * @returns undefined where the mesh has no such name, or no word on records of the type: an upstream server is asked
 */
export function localAnswer(table: NameTable, question: Question, random: () => number): Answer | undefined {
  const { name, type } = question;
  if (name.endsWith('.arpa')) return type === TYPE.PTR ? reverseAnswer(table, name) : undefined;
  const found = table.find(name);
  if (found) return answerOf(found, question, random);
  return type === TYPE.SRV || type === TYPE.ANY ? serviceAnswer(table, name, random) : undefined;
}

function answerOf({ entry, alias }: Found, { name, type }: Question, random: () => number): Answer | undefined {
  const owner = alias ?? name;
  const records = recordsOf(entry, owner, type, random);
  if (!records) return undefined;
  const answers = alias === undefined ? records : [aliasRecord(name, alias), ...records];
  return { rcode: RCODE.NOERROR, authoritative: true, answers };
}

/** @returns undefined for types that only DNS of the host has: MX, TXT … of a host outside of the mesh */
function recordsOf(entry: TableEntry, owner: string, type: number, random: () => number): DnsRecord[] | undefined {
  switch (type) {
    case TYPE.A:
      return addressRecords(owner, TYPE.A, entry.ipv4, random);
    case TYPE.AAAA:
      return addressRecords(owner, TYPE.AAAA, entry.ipv6, random);
    case TYPE.ANY:
      return allAddresses(entry, owner, random);
    // Their address hints would lead clients past the mesh.
    case TYPE.HTTPS:
    case TYPE.SVCB:
      return [];
    default:
      return entry.isService ? [] : undefined;
  }
}

const allAddresses = (entry: TableEntry, owner: string, random: () => number): DnsRecord[] => [
  ...addressRecords(owner, TYPE.A, entry.ipv4, random),
  ...addressRecords(owner, TYPE.AAAA, entry.ipv6, random),
];

function addressRecords(
  name: string,
  type: number,
  addresses: readonly Uint8Array[],
  random: () => number,
): DnsRecord[] {
  const records = addresses.map((data) => ({ name, type, ttl: TTL_SECONDS, data }));
  for (let i = records.length - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1));
    [records[i], records[other]] = [records[other]!, records[i]!];
  }
  return records;
}

const NO_BYTES = new Uint8Array(0);

const aliasRecord = (name: string, target: string): DnsRecord => ({
  name,
  type: TYPE.CNAME,
  ttl: TTL_SECONDS,
  data: NO_BYTES,
  target,
});

/** `_<port>._<tcp|udp>.<host>` (RFC 2782), as Kubernetes' DNS specification has it: one record, or one an instance. */
const SERVICE_NAME = /^_([a-z0-9-]{1,62})\._(tcp|udp)\.(.+)$/;

function serviceAnswer(table: NameTable, name: string, random: () => number): Answer | undefined {
  const [, portName, transport, host] = SERVICE_NAME.exec(name) ?? [];
  const found = host === undefined ? undefined : table.find(host);
  if (!found) return undefined;
  const { entry, alias } = found;
  const port = entry.ports.find(
    (each) => canonicalName(each.name ?? '') === portName && transportOf(each.protocol) === transport,
  );
  if (!port) return entry.isService ? NO_NAME : undefined;
  const owner = alias === undefined ? name : name.slice(0, -host!.length) + alias;
  const target = entry.host.startsWith('*.') ? (alias ?? host!) : entry.host;
  const targets = entry.instances ?? [target];
  const answers = targets.map((each) => serviceRecord(owner, port.number, each));
  const additionals = targets.flatMap((each) => {
    const at = each === target ? entry : table.find(each)?.entry;
    return at ? allAddresses(at, each, random) : [];
  });
  const withAlias = alias === undefined ? answers : [aliasRecord(name, owner), ...answers];
  return { rcode: RCODE.NOERROR, authoritative: true, answers: withAlias, additionals };
}

const transportOf = (protocol = ''): string => (protocol.toUpperCase() === 'UDP' ? 'udp' : 'tcp');

/** Priority 0 and weight 1. */
const serviceRecord = (name: string, port: number, target: string): DnsRecord => ({
  name,
  type: TYPE.SRV,
  ttl: TTL_SECONDS,
  data: Uint8Array.of(0, 0, 0, 1, port >> 8, port & 255),
  target,
});

/** Ranges of automatic addresses, of which no other server knows anything: 240.240.0.0/16 and 2001:2::/48. */
const isAutomatic = (bytes: Uint8Array): boolean =>
  bytes.length === 4
    ? bytes[0] === 240 && bytes[1] === 240
    : bytes[0] === 0x20 && bytes[1] === 1 && bytes[2] === 0 && bytes[3] === 2 && bytes[4] === 0 && bytes[5] === 0;

function reverseAnswer(table: NameTable, name: string): Answer | undefined {
  const address = reversedAddress(name);
  if (!address) return undefined;
  const hosts = table.hostsAt(address);
  if (hosts.length === 0) return isAutomatic(address) ? NO_NAME : undefined;
  const answers = hosts.map((target) => ({ name, type: TYPE.PTR, ttl: TTL_SECONDS, data: NO_BYTES, target }));
  return { rcode: RCODE.NOERROR, authoritative: true, answers };
}

/** The address of `4.3.2.1.in-addr.arpa` or of 32 digits under `ip6.arpa` (RFC 1035 3.5, RFC 3596 2.5). */
function reversedAddress(name: string): Uint8Array | undefined {
  const labels = name.split('.');
  const zone = labels.splice(-2).join('.');
  if (zone === 'in-addr.arpa' && labels.length === 4) {
    if (!labels.every((label) => /^(0|[1-9]\d{0,2})$/.test(label) && Number(label) < 256)) return undefined;
    return Uint8Array.from(labels.reverse(), Number);
  }
  if (zone !== 'ip6.arpa' || labels.length !== 32 || !labels.every((label) => /^[0-9a-f]$/.test(label)))
    return undefined;
  const digits = labels.reverse();
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(digits[2 * i]! + digits[2 * i + 1]!, 16));
}

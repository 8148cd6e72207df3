/** An xDS resource as it is shared between proxies: frozen, versioned once, encoded once. */

import { type ResourceType, resourceName, rowOf, TYPE_URLS, type XdsResource } from '../../../shared/xds/discovery.ts';
import type { RouteConfiguration, VirtualHost } from '../../../shared/xds/route.ts';
import type { Work } from './compiled-node.ts';
import { canonicalJson, digest, digestText } from './digest.ts';

const COMMA = Buffer.from(',');

export class SharedResource {
  readonly type: ResourceType;
  readonly name: string;
  readonly resource: XdsResource[ResourceType];
  private known: string | undefined;
  private encoded: Buffer | undefined;

  constructor(type: ResourceType, resource: XdsResource[ResourceType]) {
    this.type = type;
    this.name = resourceName(type, resource);
    this.resource = resource;
  }

  /** A digest of the content, the same in every control plane. */
  get version(): string {
    return this.known ?? this.makeVersion();
  }

  /** For work that can pause behind it: `version` alone makes it when it is first read. */
  makeVersion(): string {
    this.known ??= isWhole(this.type, this.resource) ? routesVersion(this.resource) : this.digested();
    return this.known;
  }

  get isVersioned(): boolean {
    return this.known !== undefined;
  }

  /** Makes the version; pauses between the virtual hosts of a route configuration, which may have thousands. */
  *versioned(): Work<void> {
    if (this.known !== undefined) return;
    const { virtualHosts = [] } = this.type === 'routes' ? (this.resource as RouteConfiguration) : {};
    for (const host of virtualHosts) {
      hostText(host);
      yield;
    }
    this.makeVersion();
    yield;
  }

  /** The resource as JSON with its `@type`, in parts that are to be written one after the other. */
  chunks(): readonly Uint8Array[] {
    if (isWhole(this.type, this.resource)) return routesChunks(this.resource);
    // Private keys are not kept in a second form.
    if (rowOf(this.type).confidential) return [encode(this.type, canonicalJson(this.resource))];
    this.digested();
    return [this.encoded as Buffer];
  }

  /** How many bytes `chunks` gives. */
  get size(): number {
    return this.chunks().reduce((sum, chunk) => sum + chunk.length, 0);
  }

  /** Digest and bytes are made of one text. */
  private digested(): string {
    const { confidential } = rowOf(this.type);
    if (this.known !== undefined && (this.encoded || confidential)) return this.known;
    const text = canonicalJson(this.resource);
    if (!confidential) this.encoded = encode(this.type, text);
    this.known = digestText(text);
    return this.known;
  }
}

function encode(type: ResourceType, text: string): Buffer {
  return Buffer.from(`{"@type":"${TYPE_URLS[type]}"${text === '{}' ? '' : ','}${text.slice(1)}`);
}

/** A route configuration that holds its virtual hosts. */
function isWhole(type: ResourceType, resource: object): boolean {
  return type === 'routes' && (resource as RouteConfiguration).virtualHosts !== undefined;
}

interface HostText {
  readonly version: string;
  readonly bytes: Buffer;
}
const hostTexts = new WeakMap<VirtualHost, HostText>();

/** A virtual host is the unit that is digested and encoded: configurations are put together of them. */
function hostText(host: VirtualHost): HostText {
  let known = hostTexts.get(host);
  if (!known) {
    const text = canonicalJson(host);
    hostTexts.set(host, (known = { version: digestText(text), bytes: Buffer.from(text) }));
  }
  return known;
}

function routesVersion(resource: object): string {
  const { virtualHosts = [], ...rest } = resource as RouteConfiguration;
  return digest([rest, virtualHosts.map((host) => hostText(host).version)]);
}

function routesChunks(resource: object): Uint8Array[] {
  const { virtualHosts = [], ...rest } = resource as RouteConfiguration;
  const head = encode('routes', canonicalJson(rest));
  const chunks: Uint8Array[] = [head.subarray(0, -1), Buffer.from(',"virtualHosts":[')];
  virtualHosts.forEach((host, i) => {
    if (i > 0) chunks.push(COMMA);
    chunks.push(hostText(host).bytes);
  });
  chunks.push(Buffer.from(']}'));
  return chunks;
}

const known = new WeakMap<object, SharedResource>();

/** The shared form of `resource`; the same for the same object, which is frozen by it. */
export function shared(type: ResourceType, resource: XdsResource[ResourceType]): SharedResource {
  let made = known.get(resource);
  if (!made) known.set(resource, (made = new SharedResource(type, frozen(resource))));
  return made;
}

/** Freezes `value` and all that it holds. Parts of a large resource are frozen as they are made: it is then quick. */
export function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const item of Object.values(value)) frozen(item);
  return Object.freeze(value);
}

/**
 * One stream of discovery (ADS, or SDS alone): its requests are polls of a session of discovery, its responses what they are
 * answered with. So long-polls and streams are served by the same sessions.
 */
import type { JsonObject } from '@bufbuild/protobuf';
import type { Node } from '../../shared/xds/core.ts';
import { type DeltaDiscoveryRequest, MAX_POLL_NAMES, typeOfUrl } from '../../shared/xds/discovery.ts';
import { nackedResources, nackMessage } from '../../shared/xds/nack.ts';
import { DiscoveryError } from '../discovery/discovery-error.ts';
import type { DiscoveryService } from '../discovery/service.ts';
import type { Presented, Response } from '../discovery/session.ts';
import type { Parts } from '../envoy-api/wire.ts';
import { Inbox } from './inbox.ts';
import { formOf, type ResourceForm } from './resource-form.ts';
import type { StreamProtocol, Written } from './stream-protocol.ts';

export interface StreamOptions {
  readonly discovery: Pick<DiscoveryService, 'poll' | 'endHold' | 'isClosed'>;
  readonly protocol: StreamProtocol;
  /** What the client sends; ends when the client has said all. */
  readonly messages: AsyncIterable<Uint8Array>;
  /** The verified identity of the client, and the certificate by which it proved it. */
  readonly owner: string;
  readonly certificate?: Presented | undefined;
  /** The node as it is kept. @throws where it is not the client's own */
  readonly admit: (node: JsonObject) => Node;
  /** Whether the client may have resources of a type. */
  readonly permits: (typeUrl: string) => boolean;
  /** A request for a type that there is not, or that the client may not have; once a type. */
  readonly ignored: (node: Node, typeUrl: string) => void;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

/**
 * The messages for the client. Each is made when the one before it was taken.
 * @throws DiscoveryError, EnvoyApiError (a message that cannot be read), and what `admit` throws
 */
export async function* discoveryStream(options: StreamOptions): AsyncGenerator<Parts, void, void> {
  const { discovery, owner, certificate, signal } = options;
  let session = '';
  const inbox = new Inbox(() => discovery.endHold(session));
  const reader = new StreamReader(options, inbox);
  void reader.run();
  const stream = {
    get hasRequests() {
      return inbox.isDue;
    },
  };
  await inbox.due();
  for (let requests = inbox.take(); requests && !signal.aborted; requests = inbox.take()) {
    const { node, form } = reader.client;
    const answer = await discovery.poll({ session, node, requests }, owner, signal, certificate, stream);
    if (signal.aborted) return;
    if (discovery.isClosed) throw new DiscoveryError('unavailable', 'the control plane stops');
    if (session !== '' && answer.session !== session)
      throw new DiscoveryError('unavailable', 'the session of this stream has ended: open another stream');
    session = answer.session;
    for (const response of answer.responses) {
      const { message, failed } = await options.protocol.write(response, form);
      if (failed.size > 0) reader.refuse(response, failed, message === undefined);
      else if (!message) inbox.addAtOnce({ typeUrl: response.typeUrl, responseNonce: response.nonce });
      if (message) yield message;
    }
  }
}

interface Client {
  readonly node: Node;
  readonly form: ResourceForm;
}

/** Reads what the client sends into the inbox. */
class StreamReader {
  private readonly options: StreamOptions;
  private readonly inbox: Inbox;
  private known: Client | undefined;
  private readonly ignored = new Set<string>();
  /** Of responses that are not answered yet: their names, and what Envoy's API cannot express of them, by their nonces. */
  private readonly failures = new Map<string, { names: readonly string[]; failed: Written['failed'] }>();

  constructor(options: StreamOptions, inbox: Inbox) {
    this.options = options;
    this.inbox = inbox;
  }

  /** Known from the first message on. */
  get client(): Client {
    if (!this.known) throw new DiscoveryError('invalid', 'node: must be in the first request of a stream');
    return this.known;
  }

  async run(): Promise<void> {
    try {
      for await (const message of this.options.messages) await this.take(message);
      this.inbox.end();
    } catch (error) {
      this.inbox.end(error ?? new Error('the stream broke'));
    }
  }

  /** The client does not know what it was not sent: in its name it is refused, at once where nothing was sent. */
  refuse({ typeUrl, nonce, resources }: Response, failed: Written['failed'], atOnce: boolean): void {
    this.failures.set(nonce, { names: resources.map(({ name }) => name), failed });
    if (atOnce) this.inbox.addAtOnce(this.withFailures({ typeUrl, responseNonce: nonce }));
  }

  private async take(message: Uint8Array): Promise<void> {
    const { node, request } = this.options.protocol.read(message);
    if (node && !this.known) {
      const admitted = this.options.admit(node);
      this.known = { node: admitted, form: formOf(admitted) };
    }
    const client = this.client;
    if (!request) return;
    checkNames(request);
    const { typeUrl } = request;
    if (typeOfUrl(typeUrl) !== undefined && this.options.permits(typeUrl))
      return this.inbox.add(this.withFailures(request));
    if (this.ignored.has(typeUrl) || this.ignored.size >= MOST_IGNORED) return;
    this.ignored.add(typeUrl);
    this.options.ignored(client.node, typeUrl);
  }

  private withFailures(request: DeltaDiscoveryRequest): DeltaDiscoveryRequest {
    const { responseNonce = '', errorDetail } = request;
    const known = this.failures.get(responseNonce);
    if (!known) return request;
    this.failures.delete(responseNonce);
    const refused = errorDetail ? nackedResources(errorDetail.message ?? '', known.names) : new Map<string, string>();
    const message = nackMessage(new Map([...refused, ...known.failed]));
    return { ...request, errorDetail: { code: errorDetail?.code ?? INVALID_ARGUMENT, message } };
  }
}

/** google.rpc.Code */
const INVALID_ARGUMENT = 3;
const MOST_IGNORED = 16;

/** @throws DiscoveryError invalid */
function checkNames(request: DeltaDiscoveryRequest): void {
  const { resourceNamesSubscribe = [], resourceNamesUnsubscribe = [], initialResourceVersions = {} } = request;
  const count =
    resourceNamesSubscribe.length + resourceNamesUnsubscribe.length + Object.keys(initialResourceVersions).length;
  if (count > MAX_POLL_NAMES)
    throw new DiscoveryError('invalid', `a request must not have more than ${MAX_POLL_NAMES} names`);
}

/**
 * Header blocks, well-formed and mutated, through the proxy's HPACK decoder: connection after connection of several blocks.
 * `TULLE_FUZZ=10000000` decodes that many blocks instead of a million, `TULLE_FUZZ_SEED` repeats a run; a failure prints its seed.
 */
import { expect, it } from 'vitest';
import { Http2Error, Http2StreamError } from '../../../edge-proxy/http/codec/h2/error.ts';
import type { FieldSink } from '../../../edge-proxy/http/codec/h2/header-block.ts';
import { HpackDecoder } from '../../../edge-proxy/http/codec/h2/hpack.ts';
import { Random, seed } from '../random.ts';
import { block } from './blocks.ts';

const COUNT = Number(process.env['TULLE_FUZZ'] ?? 1_000_000);
/** A tenth of what quiet machines do. */
const PER_SECOND = 2000;
const LIMITS = { headerTableSize: 4096, maxHeadBytes: 600, maxFields: 9 };
const BLOCKS_PER_CONNECTION = 6;
const OVERHEAD = 32;

/** Counts what it is given, and refuses the field of a given number. */
class Counting implements FieldSink {
  fields = 0;
  bytes = 0;
  text = '';
  private readonly refuses: number;

  constructor(refuses: number) {
    this.refuses = refuses;
  }

  onField(name: string, value: string): void {
    if (this.fields === this.refuses) throw new RangeError('refused');
    this.fields++;
    this.bytes += name.length + value.length + OVERHEAD;
    this.text += `${name}: ${value}\n`;
  }
}

type Outcome = 'decoded' | 'refused by the sink' | 'too large' | 'connection error';

function decode(decoder: HpackDecoder, bytes: Uint8Array, sink: FieldSink): Outcome {
  try {
    decoder.decode(bytes, 0, bytes.length, sink);
    return 'decoded';
  } catch (error) {
    if (error instanceof RangeError && error.message === 'refused') return 'refused by the sink';
    if (error instanceof Http2StreamError) return 'too large';
    if (error instanceof Http2Error && error.code === 9) return 'connection error';
    throw error;
  }
}

/** Blocks of one connection: of two decoders one hears all fields, the other refuses some; their tables stay the same. */
function connection(random: Random, outcomes: Record<Outcome, number>): number {
  const decoder = new HpackDecoder(LIMITS);
  const twin = new HpackDecoder({ ...LIMITS, maxFields: 1 });
  for (let blocks = 1; blocks <= BLOCKS_PER_CONNECTION; blocks++) {
    const bytes = block(random);
    const sink = new Counting(random.chance(0.1) ? random.below(6) : -1);
    const outcome = decode(decoder, bytes, sink);
    outcomes[outcome]++;
    const other = decode(twin, bytes, new Counting(-1));
    if ((outcome === 'connection error') !== (other === 'connection error'))
      throw new Error(`${outcome}, and ${other}`);
    if (sink.fields > LIMITS.maxFields || sink.bytes > LIMITS.maxHeadBytes) throw new Error('more than the limits');
    if (outcome === 'connection error') return blocks;
    if (blocks === BLOCKS_PER_CONNECTION || random.chance(0.05)) compareTables(decoder, twin);
  }
  return BLOCKS_PER_CONNECTION;
}

/** The entries, newest first, each read as an indexed field. */
function compareTables(one: HpackDecoder, other: HpackDecoder): void {
  for (let index = 62; index < 126; index++) {
    const [mine, theirs] = [new Counting(-1), new Counting(-1)];
    const field = Uint8Array.of(0x80 | index);
    const outcome = decode(one, field, mine);
    if (decode(other, field, theirs) !== outcome || mine.text !== theirs.text)
      throw new Error(`entry ${index} differs`);
    if (outcome === 'connection error') return;
  }
}

it(
  `${COUNT} blocks end in fields within the limits or in an error of the protocol`,
  () => {
    const outcomes = { decoded: 0, 'refused by the sink': 0, 'too large': 0, 'connection error': 0 };
    console.log(`hpack: seed ${seed}`);
    // Errors are what is looked for; where they come from is not.
    Error.stackTraceLimit = 0;
    let at = seed;
    for (let done = 0; done < COUNT; at++) {
      try {
        done += connection(new Random(at), outcomes);
      } catch (error) {
        throw new Error(`seed ${at}: ${error instanceof Error ? error.message : error}`, { cause: error });
      }
    }
    // There must have been something to decode, and something to refuse.
    for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(COUNT / 100);
  },
  Math.max(120_000, (COUNT / PER_SECOND) * 1000),
);

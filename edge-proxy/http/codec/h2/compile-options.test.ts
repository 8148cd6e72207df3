import { describe, expect, it } from 'vitest';
import { Http2ProtocolOptions } from '../../../../shared/xds/core.ts';
import { compileHttp2Options } from './compile-options.ts';
import { defaultHttp2Options } from './options.ts';

const head = { maxHeadBytes: 1000, maxFields: 10 };
const random = () => 0.5;
const limits = { ...head, random };
const compiled = (config: object) => compileHttp2Options(Http2ProtocolOptions.parse(config), 'http2', limits);

describe('Http2ProtocolOptions', () => {
  it("without fields are Envoy's defaults, with the limits of heads that hold for all versions", () => {
    expect(compileHttp2Options(undefined, 'http2', limits)).toEqual({ ...defaultHttp2Options, ...head });
    expect(defaultHttp2Options).toMatchObject({
      headerTableSize: 4096,
      maxConcurrentStreams: 1024,
      streamWindow: 16_777_216,
      connectionWindow: 25_165_824,
      allowConnect: false,
      flood: { outboundFrames: 10_000, outboundControlFrames: 1000, emptyFrames: 1, priorityFramesPerStream: 100 },
    });
  });

  it('are in force field by field', () => {
    const config = {
      hpack_table_size: 0,
      max_concurrent_streams: 5,
      initial_stream_window_size: 65_535,
      initial_connection_window_size: 2_147_483_647,
      allow_connect: true,
      max_outbound_frames: 7,
      max_outbound_control_frames: 8,
      max_consecutive_inbound_frames_with_empty_payload: 0,
      max_inbound_priority_frames_per_stream: 0,
      max_inbound_window_update_frames_per_data_frame_sent: 1,
      override_stream_error_on_invalid_http_message: true,
      connection_keepalive: { interval: '30s', timeout: '0.5s', connection_idle_interval: '2s' },
    };
    expect(compiled(config)).toEqual({
      headerTableSize: 0,
      maxConcurrentStreams: 5,
      initialWindow: 65_535,
      streamWindow: 65_535,
      connectionWindow: 2_147_483_647,
      ...head,
      streamFlushMs: 300_000,
      allowConnect: true,
      resetsStreamOnMalformed: true,
      keepAlive: { intervalMs: 30_000, timeoutMs: 500, jitterPercent: 15, random, idleIntervalMs: 2000 },
      flood: {
        ...defaultHttp2Options.flood,
        outboundFrames: 7,
        outboundControlFrames: 8,
        emptyFrames: 0,
        priorityFramesPerStream: 0,
        windowUpdatesPerDataFrame: 1,
      },
    });
  });

  it('the older name of the stream error holds where the newer one is absent', () => {
    const older = { streamErrorOnInvalidHttpMessaging: true };
    expect(compiled(older).resetsStreamOnMalformed).toBe(true);
    expect(compiled({ ...older, overrideStreamErrorOnInvalidHttpMessage: false }).resetsStreamOnMalformed).toBe(false);
  });

  it('a jitter of no value is none', () => {
    const { keepAlive } = compiled({ connectionKeepalive: { timeout: '1s', intervalJitter: {} } });
    expect(keepAlive).toEqual({ intervalMs: 0, timeoutMs: 1000, jitterPercent: 0, random, idleIntervalMs: 0 });
  });

  it.each<[object, string]>([
    [{ maxConcurrentStreams: 0 }, 'http2.maxConcurrentStreams: must be 1 to 2147483647'],
    [{ maxConcurrentStreams: 2_147_483_648 }, 'http2.maxConcurrentStreams: must be 1 to 2147483647'],
    [{ initialStreamWindowSize: 65_534 }, 'http2.initialStreamWindowSize: must be 65535 to 2147483647'],
    [{ initialConnectionWindowSize: 1 }, 'http2.initialConnectionWindowSize: must be 65535 to 2147483647'],
    [{ maxOutboundFrames: 0 }, 'http2.maxOutboundFrames: must be at least 1'],
    [{ maxOutboundControlFrames: 0 }, 'http2.maxOutboundControlFrames: must be at least 1'],
    [
      { maxInboundWindowUpdateFramesPerDataFrameSent: 0 },
      'http2.maxInboundWindowUpdateFramesPerDataFrameSent: must be at least 1',
    ],
    [{ connectionKeepalive: { timeout: '0s' } }, 'http2.connectionKeepalive.timeout: must be at least 1ms'],
    [
      { connectionKeepalive: { timeout: '1s', interval: '0.0001s' } },
      'http2.connectionKeepalive.interval: must be at least 1ms',
    ],
    [
      { connectionKeepalive: { timeout: '1s', connectionIdleInterval: '0s' } },
      'http2.connectionKeepalive.connectionIdleInterval: must be at least 1ms',
    ],
    [
      { connectionKeepalive: { timeout: '1s', intervalJitter: { value: 101 } } },
      'http2.connectionKeepalive.intervalJitter: must be 0 to 100',
    ],
    [{ allowMetadata: true }, 'http2.allowMetadata: is not supported'],
    [{ customSettingsParameters: [{ identifier: 9, value: 1 }] }, 'http2.customSettingsParameters: are not supported'],
    [{ maxHeaderFieldSizeKb: 64 }, 'http2.maxHeaderFieldSizeKb: is not supported'],
  ])('refuses %j', (config, message) => expect(() => compiled(config)).toThrow(message));

  it.each<[object]>([[{ useOghttp2Codec: true }], [{ maxMetadataSize: 1 }], [{ connectionKeepalive: {} }]])(
    'refuses %j when it is read',
    (config) => expect(Http2ProtocolOptions.safeParse(config).success).toBe(false),
  );
});

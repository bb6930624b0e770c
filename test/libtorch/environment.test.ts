import assert from 'node:assert/strict';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readEnvironment } from '../../lib/environment.ts';

describe('the environment', () => {
  it('puts the cache into the home folder when nothing is set', () => {
    const { cacheFolder, libtorch, python, proxy } = readEnvironment({});
    assert.equal(cacheFolder, path.join(os.homedir(), '.cache', 'animatediff-native'));
    assert.equal(libtorch, undefined);
    assert.equal(python, 'python3');
    assert.deepEqual(proxy, { http: undefined, https: undefined, except: undefined });
  });

  it('prefers its own variables to general ones', () => {
    const general = { XDG_CACHE_HOME: '/xdg', LIBTORCH: '/general' };
    assert.equal(readEnvironment(general).cacheFolder, '/xdg/animatediff-native');
    assert.deepEqual(readEnvironment(general).libtorch, { variable: 'LIBTORCH', folder: '/general' });
    const own = { ...general, ANIMATEDIFF_CACHE: '/own', ANIMATEDIFF_LIBTORCH: '/mine' };
    assert.equal(readEnvironment(own).cacheFolder, '/own');
    assert.deepEqual(readEnvironment(own).libtorch, { variable: 'ANIMATEDIFF_LIBTORCH', folder: '/mine' });
  });

  it('takes an empty variable for one that is not set', () => {
    assert.equal(readEnvironment({ ANIMATEDIFF_LIBTORCH: ' ', LIBTORCH: '' }).libtorch, undefined);
    assert.equal(readEnvironment({ ANIMATEDIFF_PYTHON: '' }).pythonIsExplicit, false);
  });

  it('keeps an empty CUDA_VISIBLE_DEVICES, which hides every device', () => {
    assert.equal(readEnvironment({ CUDA_VISIBLE_DEVICES: '' }).cudaVisibleDevices, '');
    assert.equal(readEnvironment({}).cudaVisibleDevices, undefined);
  });

  it('reads proxies in both spellings, the lower-case one first', () => {
    const { proxy } = readEnvironment({
      HTTPS_PROXY: 'http://upper:1',
      https_proxy: 'http://lower:2',
      ALL_PROXY: 'http://all:3',
      NO_PROXY: 'localhost,.example.org',
    });
    assert.deepEqual(proxy, {
      http: 'http://all:3',
      https: 'http://lower:2',
      except: 'localhost,.example.org',
    });
  });

  it('leaves away the slash at the end of a mirror', () => {
    const { libtorchMirror } = readEnvironment({
      ANIMATEDIFF_LIBTORCH_MIRROR: 'https://mirror.example/torch//',
    });
    assert.equal(libtorchMirror, 'https://mirror.example/torch');
  });
});

import assert from 'node:assert/strict';
import os from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readEnvironment, type Variables } from '../../lib/environment.ts';

const cacheOf = (variables: Variables) => readEnvironment(variables).huggingFace.cacheFolder;

describe('the environment of the Hugging Face hub', () => {
  it('is that of its own programs when nothing is set', () => {
    const home = path.join(os.homedir(), '.cache', 'huggingface');
    assert.deepEqual(readEnvironment({}).huggingFace, {
      cacheFolder: path.join(home, 'hub'),
      endpoint: 'https://huggingface.co',
      token: undefined,
      tokenFile: path.join(home, 'token'),
    });
    assert.equal(readEnvironment({}).offline, false);
  });

  it('finds the cache in the order of its own programs', () => {
    const all = {
      XDG_CACHE_HOME: '/xdg',
      HF_HOME: '/home',
      HUGGINGFACE_HUB_CACHE: '/old',
      HF_HUB_CACHE: '/new',
    };
    assert.equal(cacheOf(all), '/new');
    assert.equal(cacheOf({ ...all, HF_HUB_CACHE: '' }), '/old');
    assert.equal(cacheOf({ XDG_CACHE_HOME: '/xdg', HF_HOME: '/home' }), '/home/hub');
    assert.equal(cacheOf({ XDG_CACHE_HOME: '/xdg' }), '/xdg/huggingface/hub');
    assert.equal(cacheOf({ HF_HOME: '~/models' }), path.join(os.homedir(), 'models', 'hub'));
  });

  it('takes tokens and addresses', () => {
    const { huggingFace, civitai } = readEnvironment({
      HF_TOKEN: ' hf_x ',
      HF_TOKEN_PATH: '/token',
      HF_ENDPOINT: 'https://mirror.example//',
      CIVITAI_TOKEN: 'c',
    });
    assert.equal(huggingFace.token, 'hf_x');
    assert.equal(huggingFace.tokenFile, '/token');
    assert.equal(huggingFace.endpoint, 'https://mirror.example');
    assert.deepEqual(civitai, { endpoint: 'https://civitai.com', token: 'c' });
  });

  it('is offline for every word that says so', () => {
    for (const word of ['1', 'ON', 'yes', 'True'])
      assert.equal(readEnvironment({ HF_HUB_OFFLINE: word }).offline, true);
    for (const word of ['0', '', 'false'])
      assert.equal(readEnvironment({ HF_HUB_OFFLINE: word }).offline, false);
  });
});

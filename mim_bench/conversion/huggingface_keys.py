"""Names of ViTModel's and BeitModel's layers in Hugging Face's transformers."""

PARTS_OF_QKV = ('query', 'key', 'value')
# From canonical names.
LAYER_PARTS = {
    'ln1': 'layernorm_before',
    'ln2': 'layernorm_after',
    'attn.proj': 'attention.output.dense',
    'ffn.layers.0.0': 'intermediate.dense',
    'ffn.layers.1': 'output.dense',
}

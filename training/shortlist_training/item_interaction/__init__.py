"""Item-interaction embeddings (Zhao et al. 2019): one vector per (item, interaction type), learned by skip-gram."""
